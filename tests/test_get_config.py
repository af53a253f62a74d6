"""``eql_d2.model_zoo``, in a clone; tests/test_wheel.py has it installed."""

import pytest
from detectron2.config import instantiate

from eql_d2 import InputError, model_zoo
from eql_d2.modeling import EQLFastRCNNOutputLayers


def test_a_yaml_has_the_keys_of_the_project_and_those_of_its_bases():
    path = "LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl.yaml"
    cfg = model_zoo.get_config(path)
    assert cfg.MODEL.META_ARCHITECTURE == "EQLImprovedBaseline" and cfg.MODEL.EQL.LOSS == "EFL"
    assert cfg.DATASETS.TRAIN == ("lvis_v1_train",)
    assert model_zoo.get_config_file(path) == str(model_zoo.CONFIGS / path)


def test_a_py_is_a_lazy_config_with_what_it_imports():
    cfg = model_zoo.get_config("quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py")
    predictor = instantiate(cfg.model.roi_heads.box_predictor)
    assert isinstance(predictor, EQLFastRCNNOutputLayers)


@pytest.mark.parametrize(
    "path, end",
    [
        (
            "LVISv1-Detection/improved_baseline_R_50_FPN_2x_elf.py",
            "did you mean LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl.py or ",
        ),
        ("configs/Base-RetinaNet.yaml", "did you mean Base-RetinaNet.yaml"),
        ("x", f"give a path below {model_zoo.CONFIGS}"),
        ("../setup.py", f"give a path below {model_zoo.CONFIGS}"),
        ("Demo/demo.png", ""),
    ],
)
def test_another_name_is_one_line_with_those_that_look_like_it(path, end):
    with pytest.raises(InputError) as error:
        model_zoo.get_config_file(path)
    (line,) = error.value.problems
    assert line.startswith(f"config {path!r} is not in the model zoo: {end}") and "\n" not in line
