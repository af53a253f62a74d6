import pytest
import torch
from detectron2.modeling import build_model

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer


def save(model, path, **changes):
    torch.save({"model": {**model.state_dict(), **changes}}, path)
    return str(path)


@pytest.fixture
def model(tiny_cfg):
    return build_model(tiny_cfg)


def test_cut_off_checkpoint_is_refused(model, tmp_path):
    path = tmp_path / "model.pth"
    save(model, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"model.pth' cannot be read.*cut off") as error:
        EQLCheckpointer(model).load(str(path))
    assert "\n" not in str(error.value)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        EQLCheckpointer(model).load(str(path))


def test_missing_checkpoint_is_refused(model):
    with pytest.raises(InputError, match="'/nowhere.pth' does not exist"):
        EQLCheckpointer(model).load("/nowhere.pth")


def test_classifier_without_a_background_column_is_refused(model, tmp_path):
    name = "roi_heads.box_predictor.cls_score.weight"
    path = save(model, tmp_path / "m.pth", **{name: model.state_dict()[name][:-1]})
    with pytest.raises(InputError, match="has 5 columns.*the model has 6, the last for the back"):
        EQLCheckpointer(model).load(path)


def test_model_of_one_class_less_may_be_fine_tuned(model, tiny_cfg, tmp_path):
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    path = save(build_model(tiny_cfg), tmp_path / "four.pth")
    EQLCheckpointer(model).load(path)
