"""What the pages of the book say to type does what they say."""

import pytest

from .blocks import pages, read_page
from .runner import PageError, run_page, warm


@pytest.fixture(scope="module")
def python():
    with warm() as folder:
        yield folder


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_every_block_of_the_page_runs_or_says_why_not(path, tmp_path, python):
    runs = run_page(read_page(path), tmp_path, python)
    assert all(run.block.reason for run in runs if run.seconds is None)


def page_of(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    return read_page(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("    ls", "indented code"),
        ("```console\nls\n```", "language 'console'"),
        ("```json\n{}\n```", "neither run nor marked"),
        ("```text\nx\n```", "neither run nor marked"),
        ("% not run:\n```json\n{}\n```", "neither run nor marked"),
        ("```yaml\nx: 1\n```\n```text\nx\n```", "neither run nor marked"),
    ],
)
def test_a_block_of_which_nothing_is_known_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"page.md:\\d+: {message}"):
        page_of(tmp_path, text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("```bash\nfalse\nls\n```", "page.md:1: exit code 1"),
        ("```bash\npython -m eql_d2.report nowhere\n```", "exit code 1\nerror: .*nowhere"),
        ("```python\n1 / 0\n```", "page.md:1: .*\n.*ZeroDivisionError"),
        ("```bash\necho one\n```\n```text\ntwo\n```", "page.md:4: is not in the output\none"),
        ("```bash\necho one\n```\nThat is\n```text\ntwo\n```", "page.md:5: is not in the"),
        ("```yaml\nMODLE: {}\n```", "MODLE.* no keys"),
    ],
)
def test_a_block_that_does_not_do_what_the_page_says_fails(tmp_path, python, text, message):
    page = page_of(tmp_path, text)
    (tmp_path / "folder").mkdir()
    with pytest.raises(PageError, match=f"(?s){message}"):
        run_page(page, tmp_path / "folder", python)


def test_variables_files_and_names_stay_for_the_rest_of_the_page(tmp_path, python):
    page = page_of(
        tmp_path,
        "% file: a.py\n```python\nprint('of a file')\n```\n"
        "```bash\nname=a.py\n```\n```bash\npython $name\n```\n```text\nof a ...\n```\n"
        "```python\nx = 1\n```\n```python\nprint(x + 1)\n```\n```text\n2\n```\n"
        "% not run: it would not end\n```bash\nsleep 1000\n```\n",
    )
    (tmp_path / "folder").mkdir()
    runs = run_page(page, tmp_path / "folder", python)
    assert [run.block.where for run in runs if run.seconds is None] == ["docs/page.md:24"]
    assert (tmp_path / "folder/a.py").exists()
