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


def class_agnostic(cfg, num_classes, mask_on=False):
    cfg = cfg.clone()
    cfg.MODEL.MASK_ON = mask_on
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
    return build_model(cfg)


@pytest.mark.parametrize("mask_on", [False, True])
def test_h_class_agnostic_model_of_one_class_less_may_be_fine_tuned(tiny_cfg, tmp_path, mask_on):
    """80 to 81 classes: that there are 81 columns does not say that the background has none."""
    path = save(class_agnostic(tiny_cfg, 4, mask_on), tmp_path / "four.pth")
    model = class_agnostic(tiny_cfg, 5, mask_on)
    name = "roi_heads.box_predictor.bbox_pred.weight"
    EQLCheckpointer(model).load(path)
    assert torch.equal(model.state_dict()[name], torch.load(path)["model"][name])


def test_h_class_agnostic_file_without_a_background_is_told_by_its_other_parts(tiny_cfg, tmp_path):
    name = "roi_heads.box_predictor.cls_score.weight"
    for mask_on, statistics in ((True, False), (False, True)):
        model = class_agnostic(tiny_cfg, 5, mask_on)
        state = model.state_dict()
        state[name] = state[name][:-1]
        if not statistics:
            state = {key: value for key, value in state.items() if "statistics" not in key}
        torch.save({"model": state}, tmp_path / "m.pth")
        with pytest.raises(InputError, match="has 5 columns, one for each class"):
            EQLCheckpointer(model).load(str(tmp_path / "m.pth"))
