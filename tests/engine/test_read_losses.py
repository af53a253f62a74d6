"""What a config says of the loss is read by something, or refused by name."""

import json

import pytest
from detectron2.config import configurable, get_cfg

from eql_d2 import EFL, InputError, add_eql_config
from eql_d2.engine import load_yaml
from eql_d2.losses import EQL_LOSS_REGISTRY, build_loss

HEADS = {
    "StandardROIHeads": "set it to EQLROIHeads",
    "CascadeROIHeads": "set it to EQLCascadeROIHeads",
    "Res5ROIHeads": "set it to EQLRes5ROIHeads",
    "RROIHeads": "there is none of ours in its place",
}
SEM_SEG = {
    "SemSegFPNHead": "set it to EQLSemSegFPNHead",
    "DeepLabV3PlusHead": "set it to EQLDeepLabV3PlusHead",
}


def load(tmp_path, *words, **nodes):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"VERSION": 2, **nodes}))
    return load_yaml(str(path), words)


def model(architecture="GeneralizedRCNN", **nodes):
    return {"META_ARCHITECTURE": architecture, **nodes}


CASES = [
    *((model(ROI_HEADS={"NAME": name}), fix) for name, fix in HEADS.items()),
    *(
        (model("SemanticSegmentor", SEM_SEG_HEAD={"NAME": name}), fix)
        for name, fix in SEM_SEG.items()
    ),
    (model("RetinaNet"), "set it to EQLRetinaNet"),
    (model("PanopticFPN", ROI_HEADS={"NAME": "StandardROIHeads"}), "set it to EQLROIHeads"),
]


@pytest.mark.parametrize("node, fix", CASES)
@pytest.mark.parametrize("in_file", [True, False], ids=["in the file", "on the command line"])
def test_a_loss_that_nothing_reads_is_refused_and_names_the_head(tmp_path, node, fix, in_file):
    """It trained Detectron2's own loss without a word."""
    words = [] if in_file else ["MODEL.EQL.LOSS", "EQLv2"]
    node = {**node, "EQL": {"LOSS": "EQLv2"}} if in_file else node
    with pytest.raises(InputError, match=rf"^MODEL.EQL.LOSS is 'EQLv2', but .* own loss: {fix}"):
        load(tmp_path, *words, MODEL=node)


@pytest.mark.parametrize(
    "key, value", [("MONITOR", True), ("PRIOR_PROB", 0.01), ("RESET_STATISTICS", True)]
)
def test_other_keys_that_nothing_reads_are_refused(tmp_path, key, value):
    for words, node in (([f"MODEL.EQL.{key}", str(value)], {}), ([], {"EQL": {key: value}})):
        with pytest.raises(InputError, match=f"^MODEL.EQL.{key} is {value}, but MODEL.ROI_HEADS"):
            load(tmp_path, *words, MODEL=node)


def test_what_is_read_is_taken(tmp_path):
    load(tmp_path)  # a baseline of Detectron2
    load(tmp_path, "MODEL.EQL.FREQUENCY_THRESHOLDS", "(2, 5)")  # of the evaluation
    eql = {"LOSS": "EQLv2"}
    load(tmp_path, MODEL={"EQL": eql, "ROI_HEADS": {"NAME": "EQLROIHeads"}})
    load(tmp_path, MODEL={"EQL": eql, "ROI_HEADS": {"NAME": "HeadsOfTheUser"}})
    panoptic = {"SEM_SEG_HEAD": {"NAME": "EQLSemSegFPNHead"}, "EQL": eql}
    load(tmp_path, MODEL={"META_ARCHITECTURE": "PanopticFPN", **panoptic})


def test_an_argument_of_another_loss_is_refused(tmp_path):
    node = {"ROI_HEADS": {"NAME": "EQLROIHeads"}, "EQL": {"LOSS": "EFL"}}
    with pytest.raises(InputError, match="EQLV2.GAMMA is an argument of EQLv2, but .* is EFL"):
        load(tmp_path, "MODEL.EQL.EQLV2.GAMMA", "3.0", MODEL=node)
    load(tmp_path, "MODEL.EQL.EFL.GAMMA", "3.0", MODEL=node)


PRIORS = ["auto", "0.03", "None"]


@pytest.mark.parametrize("first", PRIORS)
@pytest.mark.parametrize("second", PRIORS)
def test_a_key_of_several_types_takes_each_over_each(tmp_path, first, second):
    node = {"META_ARCHITECTURE": "EQLRetinaNet", "EQL": {"LOSS": "EFL"}}
    words = ["MODEL.EQL.PRIOR_PROB", first, "MODEL.EQL.PRIOR_PROB", second]
    expected = {"auto": "auto", "0.03": 0.03, "None": None}[second]
    assert load(tmp_path, *words, MODEL=node).MODEL.EQL.PRIOR_PROB == expected


def config(loss, **keys):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.MODEL.EQL.LOSS = loss
    for key, value in keys.items():
        cfg.MODEL.EQL[key] = value
    return cfg


@pytest.mark.parametrize("loss", ["SoftmaxEQL", "SoftmaxCE", "SeesawLoss"])
def test_a_prior_for_a_loss_without_one_is_refused(loss):
    with pytest.raises(InputError, match=f"PRIOR_PROB is 0.01, but {loss} has no prior"):
        build_loss(config(loss, PRIOR_PROB=0.01), 5)


def test_auto_is_refused_where_nobody_has_found_the_prior():
    """A user's own trainer began at 0.001."""
    with pytest.raises(InputError, match="PRIOR_PROB is auto, which eql_d2.engine.Trainer finds"):
        build_loss(config("EFL", PRIOR_PROB="auto"), 5)


@pytest.mark.parametrize("is_configurable", [True, False])
def test_a_subclass_that_hands_on_its_arguments_gets_them(is_configurable):
    """PRIOR_PROB and SCALE were lost."""

    class MyEFL(EFL):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    if is_configurable:
        MyEFL.__init__ = configurable(MyEFL.__init__)
    EQL_LOSS_REGISTRY._do_register("MyEFL", MyEFL)
    try:
        cfg = config("MyEFL", PRIOR_PROB=0.25)
        cfg.MODEL.EQL.EFL.SCALE = 3.0
        loss = build_loss(cfg, 5)
    finally:
        del EQL_LOSS_REGISTRY._obj_map["MyEFL"]
    assert (loss.prior_prob, loss.scale) == (0.25, 3.0)
