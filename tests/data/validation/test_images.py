import json

import numpy as np
import pytest
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import DatasetMapper, Limits, register_class_folder, register_json_instances
from eql_d2.data.image_files import MAX_IMAGE_PIXELS, read_image
from eql_d2.data.validation.images import NUM_SAMPLES, sample
from eql_d2.data.validation.validate import (
    Depth,
    validate_class_folder,
    validate_image_list,
    validate_json,
    validate_mask_folder,
)
from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders, make_image_list
from tests.data.label_map_folders import make_mask_folder

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def kinds(findings):
    return [finding.kind for finding in findings]


def picture(mode="RGB", size=(80, 64)):
    return Image.new(mode, size)


def deep_png(path):
    """PNG of 16 bits in each of three channels, which Pillow does not write."""
    cv2 = pytest.importorskip("cv2")
    values = np.full((64, 80, 3), 0x1234, np.uint16)
    assert cv2.imwrite(str(path), values)


def cut_off(path):
    picture().save(path)
    path.write_bytes(path.read_bytes()[:-30])


def oriented(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(size=(64, 80)).save(path, exif=exif)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps(make_annotations(tmp_path)))
    return str(tmp_path / "data.json"), str(tmp_path)


@pytest.mark.parametrize(
    ("save", "kind"),
    [
        (lambda path: path.write_text("no image"), "image files that cannot be read"),
        (cut_off, "damaged image files"),
        (lambda path: picture("I;16").save(path), "too large, or not of 8 bits"),
        (lambda path: picture("I").save(path, format="TIFF"), "too large, or not of 8 bits"),
        (lambda path: picture("F").save(path, format="TIFF"), "too large, or not of 8 bits"),
        (lambda path: picture(size=(64, 80)).save(path), "of another size than annotated"),
    ],
)
def test_an_image_is_refused_at_registration_and_by_the_mapper(data, tmp_path, save, kind):
    save(tmp_path / "3.png")
    (found,) = validate_json(*data).errors
    assert kind in found.kind and found.count == 1
    with pytest.raises(InputError, match="3.png") as error:
        register_json_instances("own", *data)
    assert "\n" not in str(error.value)
    mapper = DatasetMapper(is_train=True, augmentations=[], image_format="BGR")
    record = {"file_name": str(tmp_path / "3.png"), "width": 80, "height": 64}
    with pytest.raises(InputError, match="3.png") as error:
        mapper(record)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_of_8_bits_are_read(data, tmp_path, mode):
    picture(mode).save(tmp_path / "3.png", format="TIFF" if mode == "CMYK" else "PNG")
    assert not validate_json(*data).errors
    assert read_image(str(tmp_path / "3.png"), "RGB").shape == (64, 80, 3)


def test_16_bits_in_three_channels_are_read_as_the_upper_8_with_a_warning(data, tmp_path):
    deep_png(tmp_path / "3.png")
    findings = validate_json(*data)
    assert not findings.errors and kinds(findings.warnings) == ["images of 16 bits a channel"]
    assert (read_image(str(tmp_path / "3.png"), "RGB") == 0x12).all()


def test_size_of_a_turned_image_is_that_of_its_exif(data, tmp_path):
    oriented(tmp_path / "3.png")
    assert not validate_json(*data).errors


def test_pixels_are_bounded_by_the_header_before_anything_is_decoded(tmp_path):
    picture("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    path = str(tmp_path / "bomb.png")
    assert Image.MAX_IMAGE_PIXELS == MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match="13000 x 13000 pixels, more than 89,478,485") as error:
        read_image(path, "RGB")
    assert "INPUT.MAX_IMAGE_PIXELS" in str(error.value)
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format="BGR")
    with pytest.raises(InputError, match="13000 x 13000 pixels"):
        mapper({"file_name": path})
    assert Image.MAX_IMAGE_PIXELS == MAX_IMAGE_PIXELS


def test_a_raised_bound_is_that_of_registration_and_mapper(tmp_path):
    folder = make_class_folders(tmp_path, [2], side=40)
    with pytest.raises(InputError, match="48 x 40 pixels, more than 1,919"):
        register_class_folder("own", folder, limits=Limits(max_image_pixels=1919))
    register_class_folder("own", folder, limits=Limits(max_image_pixels=1920))
    settings = {"is_train": False, "augmentations": [], "image_format": "BGR"}
    record = {"file_name": f"{folder}/class0/0.png"}
    with pytest.raises(InputError, match="more than 1,919"):
        DatasetMapper(**settings, max_image_pixels=1919)(record)
    assert DatasetMapper(**settings, max_image_pixels=1920)(record)["height"] == 40


def test_a_mapper_does_not_blame_the_image_for_another_error(data, tmp_path):
    mapper = DatasetMapper(is_train=True, augmentations=[], image_format="BGR")
    record = {"file_name": str(tmp_path / "3.png"), "annotations": [{"bbox": None}]}
    with pytest.raises((KeyError, TypeError)):
        mapper(record)


def test_the_sample_is_even_and_of_a_fixed_size():
    assert sample(range(5), 32) == [0, 1, 2, 3, 4] == sample(range(5), None)
    chosen = sample(range(100_000), NUM_SAMPLES)
    assert len(set(chosen)) == NUM_SAMPLES and (chosen[0], chosen[-1]) == (0, 99_999)
    assert sample([], 32) == [] == sample(range(5), 0)


def test_all_images_of_class_folders_and_lists_are_read(tmp_path):
    folder = make_class_folders(tmp_path / "folders", [2, 3])
    (tmp_path / "folders/class2").mkdir()
    for name in ("class0/1.png", "class1/0.png"):
        cut_off(tmp_path / "folders" / name)
    findings = validate_class_folder(folder)
    assert [(e.kind, e.count) for e in findings.errors] == [("damaged image files", 2)]
    assert kinds(findings.warnings) == ["classes without an image"]
    assert not validate_class_folder(folder, Depth(num_images=0)).errors
    list_file = make_image_list(tmp_path / "list", [0, 1, 1, 5])
    with open(list_file, "a") as file:
        file.write("../folders/class1/2.png 1\nclass0/gone.png 0\nno label\n")
    cut_off(tmp_path / "list/class0/2.png")
    findings = validate_image_list(list_file, str(tmp_path / "list"), 3)
    assert kinds(findings.errors) == [
        "lines of another form",
        "labels out of range",
        "paths that lead out of the folder",
        "missing images",
        "damaged image files",
    ]


def test_all_label_maps_are_read(tmp_path):
    folders = make_mask_folder(tmp_path / "scenes")
    assert not validate_mask_folder(*folders).errors
    masks = tmp_path / "scenes/masks"
    Image.fromarray(np.full((64, 96), 9, np.uint8)).save(masks / "1.png")
    Image.new("L", (96, 63)).save(masks / "2.png")
    Image.new("RGB", (96, 64)).save(masks / "3.png")
    (masks / "4.png").unlink()
    (tmp_path / "scenes/images/5.jpg").write_text("no image")
    (tmp_path / "scenes/classes.txt").write_text("sky\nsky\n\nhouse\ncat\ncat\n")
    findings = validate_mask_folder(*folders)
    assert [(error.kind, error.count) for error in findings.errors] == [
        ("lines of a class file that are empty, there already or no text", 3),
        ("images without label maps", 1),
        ("image files that cannot be read", 1),
        ("label maps that cannot be used", 2),
        ("label maps of another size than their images", 1),
    ]


def test_a_class_file_cannot_name_a_folder_outside(tmp_path):
    folder = make_class_folders(tmp_path / "in", [1])
    make_class_folders(tmp_path / "out", [1])
    (tmp_path / "in/classes.txt").write_text("class0\n../out/class0\n")
    assert kinds(validate_class_folder(folder).errors) == ["paths that lead out of the folder"]
    with pytest.raises(InputError, match="leads out of"):
        register_class_folder("own", folder)
