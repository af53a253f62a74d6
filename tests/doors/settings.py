"""Settings and config files that are bad in one thing."""

from typing import NamedTuple


class Setting(NamedTuple):
    """Settings of a training, bad in one thing.

    Attributes:
        words: KEY VALUE ... of a yaml config.
        refused: what the line of every door has.
        lazy: the same of a LazyConfig; None where it has no such key.
        own_trainer: whether a user's own DefaultTrainer can know.
        study: whether a study takes it: the folders of its runs are its own.
    """

    words: tuple[str, ...]
    refused: str
    lazy: tuple[str, ...] | None = None
    own_trainer: bool = False
    study: bool = True


LOSS, HEADS, PRIOR = "MODEL.EQL.LOSS", "MODEL.ROI_HEADS.NAME", "MODEL.EQL.PRIOR_PROB"
_LOSS_CLS = "model.roi_heads.box_predictor.loss_cls"
SETTINGS = {
    "unknown loss": Setting((LOSS, "EQLV2"), "LOSS is 'EQLV2': no such loss", own_trainer=True),
    "loss that nothing reads": Setting((LOSS, "EQL", HEADS, "StandardROIHeads"), "to EQLROIHeads"),
    "argument of another loss": Setting(
        (LOSS, "SoftmaxEQL", "MODEL.EQL.EQLV2.GAMMA", "3.0"),
        "EQLV2.GAMMA is an argument|gamma",
        (f"{_LOSS_CLS}._target_=eql_d2.SoftmaxEQL", f"+{_LOSS_CLS}.gamma=3.0"),
    ),
    "prior of a softmax": Setting(
        (LOSS, "SoftmaxEQL", PRIOR, "0.01"),
        "prior",
        (f"{_LOSS_CLS}._target_=eql_d2.SoftmaxEQL", f"+{_LOSS_CLS}.prior_prob=0.01"),
        own_trainer=True,
    ),
    "prior of 2": Setting(
        (PRIOR, "2.0"), "prior_prob is 2.0", (f"+{_LOSS_CLS}.prior_prob=2.0",), own_trainer=True
    ),
    "auto for a box head": Setting((PRIOR, "auto"), "auto", own_trainer=True),
    "gamma as text": Setting(
        ("MODEL.EQL.EQLV2.GAMMA", "'x'"), "(?i)gamma", (f"+{_LOSS_CLS}.gamma=x",)
    ),
    "negative learning rate": Setting(
        ("SOLVER.BASE_LR", "-1.0"), "is -1.0: give a number", ("optimizer.lr=-1.0",)
    ),
    "no steps": Setting(("SOLVER.MAX_ITER", "0"), "is 0: give", ("train.max_iter=0",)),
    "unknown key": Setting(
        ("SOLVER.MAX_ITR", "3"), "(?i)max_itr is unknown.*max_iter", ("train.max_itr=3",)
    ),
    "thresholds": Setting(
        ("MODEL.EQL.FREQUENCY_THRESHOLDS", "(10,)"),
        "frequency thresholds are .10,.",
        ("train.eql.frequency_thresholds=[10]",),
    ),
    "unknown data": Setting(
        ("DATASETS.TRAIN", "('a_trian',)"),
        "did you mean a_train",
        ("dataloader.train.dataset.names=a_trian",),
    ),
    "no data": Setting(
        ("DATASETS.TRAIN", "()"),
        "is empty: name a data set",
        ("dataloader.train.dataset.names=[]",),
    ),
    "calibration": Setting(
        ("MODEL.EQL.CALIBRATION.NAME", "Norcal"), "choose NorCal", own_trainer=True
    ),
    "another number of classes": Setting(
        ("MODEL.ROI_HEADS.NUM_CLASSES", "4"),
        "4 classes .*has 3",
        ("model.roi_heads.num_classes=4",),
    ),
    "device": Setting(("MODEL.DEVICE", "gpu"), "is 'gpu', which cannot be", ("train.device=gpu",)),
    "output folder that is a file": Setting(
        *(("OUTPUT_DIR", "/dev/null"), "'/dev/null' is a file", ("train.output_dir=/dev/null",)),
        study=False,
    ),
    "output folder of a store": Setting(
        *(("OUTPUT_DIR", "s3://x/y"), "folders of this machine", ("train.output_dir=s3://x/y",)),
        study=False,
    ),
}


class ConfigFile(NamedTuple):
    """A config file: its content, None for a folder; and what the line of every door has."""

    content: bytes | None
    refused: str


CONFIG_FILES = {
    "code": ConfigFile(b"A: !!python/object/apply:os.system ['true']\n", "python/object/apply"),
    "a list": ConfigFile(b"- 1\n", "tiny.yaml"),
    "broken": ConfigFile(b"MODEL: [1\n", "tiny.yaml"),
    "no such base": ConfigFile(b"_BASE_: nowhere.yaml\n", "nowhere.yaml"),
    "itself as its base": ConfigFile(b"_BASE_: tiny.yaml\n", "tiny.yaml"),
    "UTF-16": ConfigFile("VERSION: 2\n".encode("utf-16"), "tiny.yaml"),
    "unknown section": ConfigFile(b"MODLE:\n  DEVICE: cpu\n", "MODLE"),
    "a folder": ConfigFile(None, "tiny.yaml"),
}
