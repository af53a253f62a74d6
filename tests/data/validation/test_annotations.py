import json
import re

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data import Limits, register_json_instances
from eql_d2.data.validation.rle import read_counts
from eql_d2.data.validation.validate import Depth, validate_json
from tests.conftest import make_annotations

from .damage import ERRORS, USABLE, all_of, broken

pytestmark = pytest.mark.usefixtures("no_datasets_left")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of images with their annotations in LVIS format, as text."""
    folder = tmp_path_factory.mktemp("data")
    return folder, json.dumps(make_annotations(folder))


def write(files, change=lambda data: None):
    """The file with a change, and the image folder."""
    folder, text = files
    data = json.loads(text)
    change(data)
    (folder / "data.json").write_text(json.dumps(data))
    return str(folder / "data.json"), str(folder)


def kinds(findings):
    return [finding.kind for finding in findings]


@pytest.mark.parametrize(("change", "kind"), ERRORS)
def test_an_error_is_found_by_validate_and_refused_by_registration(files, change, kind):
    arguments = write(files, change)
    findings = validate_json(*arguments)
    assert any(kind in found for found in kinds(findings.errors)), findings.format()
    with pytest.raises(InputError) as error:
        register_json_instances("own", *arguments)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
    assert "own" not in DatasetCatalog.list()


@pytest.mark.parametrize("key", ["images", "categories"])
@pytest.mark.parametrize(("id_", "is_refused"), [(-1, True), (0, False)])
def test_the_first_negative_id_is_refused_and_zero_is_not(files, key, id_, is_refused):
    def change(data):
        name = {"images": "image_id", "categories": "category_id"}[key]
        for annotation in data["annotations"]:
            if annotation[name] == data[key][0]["id"]:
                annotation[name] = id_
        data[key][0]["id"] = id_

    found = kinds(validate_json(*write(files, change)).errors)
    assert found == [f"{key} with a negative id"] * is_refused


@pytest.mark.parametrize(("change", "kind"), USABLE)
def test_what_is_usable_is_registered_with_a_warning_or_none(files, change, kind):
    arguments = write(files, change)
    findings = validate_json(*arguments)
    assert not findings.errors, findings.format()
    assert kind is None or any(kind in found for found in kinds(findings.warnings))
    assert kind is not None or not findings.warnings, findings.format()
    register_json_instances("own", *arguments)
    assert MetadataCatalog.get("own").evaluator_type == "lvis"
    assert len(DatasetCatalog.get("own")) == 8


def test_all_problems_are_reported_at_once_by_kind_with_counts_and_first_examples(files):
    def change(data):
        for annotation in data["annotations"][:5]:
            annotation["bbox"] = [0, 0, 0, -1]
        broken("images", 0, file_name="gone.png")(data)
        broken("images", 1, width=90)(data)
        broken("categories", 0, name="class1")(data)

    text = validate_json(*write(files, change)).format()
    assert "error: boxes of negative size (5)\n" in text and "    ... 2 more\n" in text
    assert re.findall("annotation ([0-9]+) has bbox", text) == ["1", "2", "3"]
    assert "missing images (1)" in text and "categories with the same name (1)" in text
    assert "image files of another size than annotated (1)" in text
    assert "2.png' is of 80 x 64 pixels but annotated with 90 x 64" in text


def test_one_line_says_how_many_problems_there_are(files):
    with pytest.raises(InputError, match=r"\(17 problems .* python -m eql_d2.data validate"):
        register_json_instances("own", *write(files, all_of("annotations", bbox=[0, 0, 0, 0])))


def test_limits_can_be_raised(files):
    folder = files[0].parent / "elsewhere"
    folder.mkdir()
    (folder / "1.png").write_bytes((files[0] / "1.png").read_bytes())
    for path in ("../elsewhere/1.png", str(folder / "1.png")):
        outside = write(files, broken("images", 0, file_name=path))
        assert kinds(validate_json(*outside).errors) == ["paths that lead out of the folder"]
        assert not validate_json(*outside, Depth(Limits(allow_outside_paths=True))).errors
    small = Depth(Limits(max_image_pixels=80 * 64 - 1))
    assert "images of too many pixels" in kinds(validate_json(*write(files), small).errors)
    assert not validate_json(*write(files), Depth(Limits(max_image_pixels=80 * 64))).errors


def test_unknown_verified_categories_are_an_error_for_open_images_only(files):
    def change(data):
        for image in data["images"]:
            del image["not_exhaustive_category_ids"]
            image["pos_category_ids"] = [77]

    findings = validate_json(*write(files, change))
    assert "images with unknown pos_category_ids" in kinds(findings.errors)
    unknown = validate_json(*write(files, broken("images", 0, neg_category_ids=[77])))
    assert "images with unknown neg_category_ids" in kinds(unknown.warnings)


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    texts, pixels, areas = [], [], []
    for share in np.tile([0, 0.01, 0.1, 0.5, 1], 20):
        mask = np.asfortranarray(rng.random(rng.integers(1, 50, 2)) < share, dtype=np.uint8)
        texts.append(mask_util.encode(mask)["counts"].decode())
        pixels.append(mask.size)
        areas.append(mask.sum())
    large = np.zeros((1500, 1000), np.uint8, order="F")
    large[300:900, 200:700] = 1
    texts.append(mask_util.encode(large)["counts"].decode())
    runs = read_counts(texts)
    assert runs.is_valid.all()
    assert runs.num_pixels.tolist() == [*pixels, large.size]
    assert runs.area.tolist() == [*areas, large.sum()]
    assert read_counts([[4, 3, 2, 1]]).area.tolist() == [4]
    nonsense = ["\x01", "abc", "o", "o" * 30 + "0", [1.5], [-1], [float("nan")], None, {}, 7]
    assert not read_counts(nonsense).is_valid.any()
    assert len(read_counts([]).is_valid) == 0


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "data.json"
    for content in (b"", b"[", b"{}", b"[]", b"7", b"\xff\xfe", b"[" * 10**5, b'{"images": 1}'):
        path.write_bytes(content)
        assert len(validate_json(str(path), str(tmp_path)).errors) == 1
        with pytest.raises(InputError) as error:
            register_json_instances("own", str(path), str(tmp_path))
        assert "\n" not in str(error.value)
    assert kinds(validate_json(str(tmp_path), "").errors) == ["files that cannot be read"]
    assert kinds(validate_json(str(tmp_path / "nowhere"), "").errors) == ["missing files"]
