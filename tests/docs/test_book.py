"""The book builds without a warning, needs nothing from the network, and has words for figures."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Tags whose address a browser loads by itself, and the attributes that hold it
LOADED = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "object": ("data",),
}


def build(source, folder):
    """As ``make docs`` does it, but of a folder of one's own."""
    command = re.search(r"^docs:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    arguments = command.split()[1:-2]
    arguments += ["-c", str(ROOT / "docs"), "-d", str(folder / "doctrees")]
    return subprocess.run(
        [sys.executable, *arguments, str(source), str(folder / "html")],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT / "docs", folder)
    assert result.returncode == 0, result.stderr
    return folder / "html"


def test_what_leads_nowhere_or_is_no_formula_fails_the_build(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/index.md").write_text(
        "# Page\n\n[to](nowhere.md), {py:class}`eql_d2.NoSuchLoss`, {py:class}`.EQLv2`, "
        "$\\nosuchcommand x$\n\n![](picture.png)\n"
    )
    result = build(tmp_path / "source", tmp_path)
    assert result.returncode == 1
    for words in ("nowhere.md", "eql_d2.NoSuchLoss", "nosuchcommand", "picture.png"):
        assert re.search(f"index.md:.*WARNING: .*{words}", result.stderr), result.stderr
    assert ".EQLv2" not in result.stderr  # it is a name of the project, shown here or not


class Tags(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.found = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def tags(site):
    for path in sorted(site.rglob("*.html")):
        for tag, attributes in Tags(path).found:
            yield path.relative_to(site), tag, attributes


def test_no_page_loads_anything_from_elsewhere(site):
    for path, tag, attributes in tags(site):
        for name in LOADED.get(tag, ()):
            assert "//" not in attributes.get(name, ""), (path, tag, attributes)
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles and not any(re.search(r"(@import|url\()\s*[\"']?(https?:)?//", s) for s in styles)


def test_every_link_leads_somewhere(site):
    """Within the site to a file and a place in it; out of it, to an address of good form."""
    ids = {}
    for path, _, attributes in tags(site):
        ids.setdefault(path, set()).add(attributes.get("id"))
    for path, tag, attributes in tags(site):
        link = attributes.get("href", "") if tag == "a" else ""
        if ":" in link:
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[^\s<>]*)?", link), (path, link)
        elif link:
            target, _, place = link.partition("#")
            target = Path(os.path.normpath(path.parent / target)) if target else path
            assert (site / target).exists(), (path, link)
            assert not place or place in ids[target], (path, link)


def test_every_figure_has_words(site):
    pictures = [(path, attributes) for path, tag, attributes in tags(site) if tag == "img"]
    assert pictures
    for path, attributes in pictures:
        assert len(attributes.get("alt", "").split()) > 3, (path, attributes)


def test_formulas_are_drawn_by_the_browser(site):
    text = (site / "api/functional.html").read_text(encoding="utf-8")
    assert '<div class="math' in text and "<mfrac>" in text and r"\frac" not in text


def test_the_search_knows_every_page(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert f'"{path.stem}"' in index
