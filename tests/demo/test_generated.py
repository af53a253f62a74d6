from pathlib import Path

import pytest

from eql_d2.demo.generated import write_once
from eql_d2.demo.glyph_crops import generate_glyph_crops
from eql_d2.demo.glyph_maps import generate_glyph_maps
from eql_d2.exceptions import InputError

SMALLEST = {
    generate_glyph_crops: {"num_train": 150, "num_val": 1, "image_size": 32},
    generate_glyph_maps: {"num_train": 10, "num_val": 10, "image_size": 64},
}


@pytest.fixture(params=SMALLEST, ids=lambda generate: generate.__name__)
def generate(request):
    return request.param


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(generate, tmp_path):
    arguments = SMALLEST[generate]
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        assert generate(tmp_path / name, **arguments, seed=seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    images = [
        {data for name, data in contents(tmp_path / folder).items() if name.endswith("1.png")}
        for folder in ("one", "other")
    ]
    assert images[0].isdisjoint(images[1])


def test_complete_data_set_is_left_alone_and_a_damaged_one_is_written_again(generate, tmp_path):
    root, arguments = tmp_path / "data", SMALLEST[generate]
    assert generate(root, **arguments)
    complete = contents(root)
    assert not generate(root, **arguments)
    next(root.rglob("*.png")).unlink()
    assert generate(root, **arguments)
    (root / "parameters.json").write_text('{"parameters"')
    assert generate(root, **arguments)
    assert contents(root) == complete
    assert generate(root, **arguments, imbalance=2)


def test_directory_of_the_user_is_never_replaced(generate, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something other"):
        generate(tmp_path, **SMALLEST[generate])
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name, value",
    [("num_train", 3), ("num_val", 0), ("image_size", 8), ("imbalance", 0.5), ("seed", -1)],
)
def test_bad_arguments_are_named(generate, tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        generate(tmp_path / "data", **{**SMALLEST[generate], name: value})
    assert list(tmp_path.iterdir()) == []


def test_interruption_keeps_the_old_data_set_and_leaves_nothing_else(tmp_path):
    def write(folder):
        folder.mkdir()
        (folder / "a.txt").write_text("a")

    def interrupted(folder):
        write(folder)
        raise KeyboardInterrupt

    root = tmp_path / "data"
    assert write_once(root, "letters", {"a.txt"}, {"seed": 0}, write)
    with pytest.raises(KeyboardInterrupt):
        write_once(root, "letters", {"a.txt"}, {"seed": 1}, interrupted)
    assert list(tmp_path.iterdir()) == [root]
    assert not write_once(root, "letters", {"a.txt"}, {"seed": 0}, write)
