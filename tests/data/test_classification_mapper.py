import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image

from eql_d2 import InputError, add_eql_config
from eql_d2.data import ClassificationMapper, build_classification_transform


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.CLASSIFICATION.CROP_SIZE = 16
    cfg.INPUT.CLASSIFICATION.RESIZE_TEST = 20
    return cfg


@pytest.fixture
def record(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 0] = 200  # red, with a gradient from left to right
    pixels[..., 1] = np.arange(60)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return {
        "file_name": str(tmp_path / "a.png"),
        "image_id": 7,
        "annotations": [{"category_id": 3}],
    }


def test_record_becomes_a_crop_with_its_label(cfg, record):
    for is_train in (True, False):
        sample = ClassificationMapper(cfg, is_train=is_train)(record)
        assert sample["image"].shape == (3, 16, 16) and sample["image"].dtype == torch.uint8
        assert (sample["label"], sample["image_id"]) == (3, 7)
    assert "annotations" in record  # the data set's record stays whole


def test_same_seed_gives_the_same_crop(cfg, record):
    mapper = ClassificationMapper(cfg, is_train=True)

    def crop(seed):
        torch.manual_seed(seed)
        return mapper(record)["image"]

    assert torch.equal(crop(0), crop(0))
    assert not torch.equal(crop(0), crop(1))


def test_test_crop_is_the_centre(cfg, record):
    image = ClassificationMapper(cfg, is_train=False)(record)["image"]
    green = image[1].float().mean(dim=0)
    assert green[0] + green[-1] == pytest.approx(59, abs=2) and green[0] > 10


def test_format_orders_the_channels(cfg, record):
    rgb = ClassificationMapper(cfg, is_train=False)(record)["image"]
    cfg.INPUT.FORMAT = "BGR"
    bgr = ClassificationMapper(cfg, is_train=False)(record)["image"]
    assert torch.equal(bgr.flip(0), rgb) and (rgb[0] == 200).all()
    cfg.INPUT.FORMAT = "L"
    with pytest.raises(InputError, match="INPUT.FORMAT is 'L'"):
        ClassificationMapper(cfg, is_train=False)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(cfg, record, mode, tmp_path):
    image = Image.open(record["file_name"]).convert(mode)
    record["file_name"] = str(tmp_path / f"b.{'jpg' if mode == 'CMYK' else 'png'}")
    image.save(record["file_name"])
    assert ClassificationMapper(cfg, is_train=True)(record)["image"].shape == (3, 16, 16)


@pytest.mark.parametrize("damage", ["missing", "cut off", "no image"])
def test_bad_image_is_named_with_its_list(cfg, record, damage, tmp_path):
    path = tmp_path / "a.png"
    if damage == "cut off":
        Image.effect_noise((64, 64), 50).save(path)
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "no image":
        path.write_text("hello")
    else:
        path.unlink()
    record["list_file"] = "my_list.txt"
    with pytest.raises(InputError, match=r"a.png' of list 'my_list.txt' cannot be used") as error:
        ClassificationMapper(cfg, is_train=True)(record)
    assert "\n" not in str(error.value)


def test_test_crop_larger_than_the_image_is_refused(cfg):
    cfg.INPUT.CLASSIFICATION.RESIZE_TEST = 15
    with pytest.raises(InputError, match="RESIZE_TEST is 15, less than CROP_SIZE 16"):
        build_classification_transform(cfg, is_train=False)
