"""The recipes of the official code as data: what test_recipes.py holds the configs to.

Values are those of the files that a row names; what none of them says is not in the row. A recipe
that trains by epochs may be a config in iterations: its row then says how many images an epoch is.
"""

import dataclasses
from collections.abc import Mapping

# Quantities with a unit, so that 12 epochs are not 12 iterations
EPOCHS, ITERATIONS = "epochs", "iterations"


@dataclasses.dataclass(frozen=True)
class Deviation:
    """What a config has in the place of the official value, and why."""

    ours: object
    reason: str


@dataclasses.dataclass(frozen=True)
class EpochImages:
    """Images of an epoch, by which the official epochs are the iterations of a config, and why."""

    count: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One official recipe.

    Attributes:
        config: the config of ours, below configs/, without suffix.
        source: repository and files with the values.
        official: the values, by the names that ``test_recipes.settings_of`` gives them.
        deviations: values that are meant to be others, by the same names.
        epoch_images: only where the config has iterations for the official epochs.
    """

    config: str
    source: str
    official: Mapping[str, object]
    deviations: Mapping[str, Deviation] = dataclasses.field(default_factory=dict)
    epoch_images: EpochImages | None = None


_NO_RFS = {"rfs_threshold": None, "rfs_rounding": None}
_JITTER = {"short_sides": (640, 672, 704, 736, 768, 800), "longest_side": 1333}
_SCALE_800 = {"short_sides": (800,), "longest_side": 1333}
_LVIS_TEST = {"score_threshold": 0.0001, "detections_per_image": 300}
_SGD = {"momentum": 0.9, "weight_decay": 0.0001}

# What its configs leave open (longest side, format, SGD, warm-up, clipping): Detectron2's defaults
_EQL_SOURCE = (
    "tztztztztz/eql.detectron2: projects/EQL/configs/Base-EQL-RCNN-FPN.yaml, {}, "
    "projects/EQL/eql/cfg.py, projects/EQL/eql/fast_rcnn.py; "
    "facebookresearch/detectron2: detectron2/config/defaults.py"
)
_EQL_V0_5 = {
    "images_per_step": 16,
    "lr_per_image": 0.02 / 16,
    "length": (90000, ITERATIONS),
    "steps": ((60000, 80000), ITERATIONS),
    "warmup": (1000, ITERATIONS),
    "anchors_per_location": 3,
    "num_classes": 1230,
    "input_format": "BGR",
    "clip_norm": None,
    "loss": "EQL",
    "loss.lambda_": 0.00177,
    "loss.prior_prob": 0.001,
    **_SGD,
    **_JITTER,
    **_LVIS_TEST,
}

_EQLV2_SOURCE = (
    "tztztztztz/eqlv2: configs/end2end/{}, configs/end2end/mask_rcnn_r50_sample1e-3_8x2_1x.py, "
    "configs/lvis/mask_rcnn_r50_fpn_mstrain_1x_lvis_v1.py; "
    "open-mmlab/mmdetection: configs/_base_/schedules/schedule_1x.py"
)
_BOX_HEAD = "mmdet/models/roi_heads/bbox_heads/convfc_bbox_head.py"  # prior of sigmoid losses
_EQLV2_V1 = {
    "images_per_step": 16,
    "lr_per_image": 0.02 / 16,
    "length": (12, EPOCHS),
    "steps": ((8, 11), EPOCHS),
    "warmup": (500, ITERATIONS),
    "num_classes": 1203,
    "input_format": "RGB",
    "clip_norm": None,
    **_SGD,
    **_JITTER,
    **_LVIS_TEST,
}
_CAFFE_WEIGHTS = {
    "input_format": Deviation(
        "BGR", "Detectron2's ImageNet weights are those of caffe, as in eql.detectron2"
    )
}
_ROUND_EPOCH = EpochImages(
    100_000, "a round number, so that nobody has to count the images that have annotations"
)

_EFL_SOURCE = "ModelTC/United-Perception: configs/det/efl/{}, benchmark/equalized_focal_loss.md"
_EFL = {
    "images_per_step": 16,
    "lr_per_image": 0.00125,
    "anchors_per_location": 2,
    "score_threshold": 0.0,
    "detections_per_image": 300,
    "input_format": "RGB",
    "clip_norm": 35.0,
    "loss": "EFL",
    "loss.gamma": 2.0,
    "loss.alpha": 0.25,
    "loss.scale": 8.0,
    "loss.prior_prob": 0.001,
    **_SGD,
}
_EFL_V1 = {
    **_EFL,
    "length": (24, EPOCHS),
    "steps": ((16, 22), EPOCHS),
    "warmup": (1, EPOCHS),
    "rfs_threshold": 0.001,
    "rfs_rounding": "ceil",
    "num_classes": 1203,
    **_JITTER,
}

_V0_5, _V1 = "LVISv0.5-InstanceSegmentation/", "LVISv1-InstanceSegmentation/"
_ONE_STAGE, _OPEN_IMAGES = "LVISv1-Detection/", "OpenImages-Detection/"
_AAAI = "AAAI2023-Classification/"


def _eqlv2_on_lvis_v1(
    name: str, file: str, epoch_images: EpochImages = _ROUND_EPOCH, **official: object
) -> Recipe:
    return Recipe(
        _V1 + f"mask_rcnn_R_50_FPN_1x_{name}",
        _EQLV2_SOURCE.format(file),
        {**_EQLV2_V1, **_NO_RFS, **official},
        _CAFFE_WEIGHTS,
        epoch_images,
    )


def _eqlv2_on_open_images(name: str, file: str, loss: str, **official: object) -> Recipe:
    schedule = {"length": (180000, ITERATIONS), "steps": ((120000, 160000), ITERATIONS)}
    return Recipe(
        _OPEN_IMAGES + f"faster_rcnn_R_50_FPN_180k_{name}",
        f"tztztztztz/eqlv2: configs/openimages/{file}, "
        "configs/openimages/faster_rcnn_r50_fpn_8x2_2x.py; "
        "open-mmlab/mmdetection: configs/_base_/schedules/schedule_1x.py",
        {
            **_EQLV2_V1,
            **schedule,
            **_NO_RFS,
            **_SCALE_800,
            "num_classes": 500,
            "loss": loss,
            **official,
        },
        _CAFFE_WEIGHTS,
    )


def _efl_on_open_images(depth: int) -> Recipe:
    return Recipe(
        _OPEN_IMAGES + f"improved_baseline_R_{depth}_FPN_180k_efl",
        _EFL_SOURCE.format(f"efl_oids_r{depth}_2x_random.yaml"),
        {
            **_EFL,
            **_NO_RFS,
            **_SCALE_800,
            "length": (1.719425, EPOCHS),
            "steps": ((1.146283, 1.528377), EPOCHS),
            "warmup": (0.004776, EPOCHS),
            "num_classes": 500,
        },
        epoch_images=EpochImages(
            1_674_979, "with it the epochs are the official 120k/160k/180k iterations"
        ),
    )


def _yolox_ip(size: str, file: str, loss: str, **official: object) -> Recipe:
    return Recipe(
        _ONE_STAGE + f"yolox_ip_{size}_{loss.lower()}",
        _EFL_SOURCE.format(file),
        {
            "images_per_step": 128,
            "lr_per_image": 3.125e-4,
            "lr_end": 0.002,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.0005,
            "length": (300, EPOCHS),
            "steps": ((), EPOCHS),  # cosine
            "warmup": (5, EPOCHS),
            "constant": (15, EPOCHS),
            "ema_decay": 0.9998,
            "rfs_threshold": 0.001,
            "rfs_rounding": "ceil",
            "anchors_per_location": 2,
            "num_classes": 1203,
            "longest_sides": tuple(32 * i for i in range(15, 26)),
            "input_format": "BGR",
            "clip_norm": None,
            "score_threshold": 0.0,
            "detections_per_image": 300,
            "loss": loss,
            "loss.gamma": 2.0,
            "loss.scale": 4.0,
            "loss.prior_prob": 0.001,
            **official,
        },
        epoch_images=_ROUND_EPOCH,
    )


def _aaai_2023(name: str, file: str, **official: object) -> Recipe:
    return Recipe(
        _AAAI + f"R_18_100e_{name}",
        f"ModelTC/AAAI2023_EAMPD: configs/{file}, train.md; ModelTC/United-Perception: "
        "up/utils/model/lr_helper.py, up/tasks/cls/models/losses/cls_loss.py",
        {
            "images_per_step": 256,
            "optimizer": "LAMB",
            "lr": 0.008,  # whatever the number of images a step is
            "weight_decay": 0.02,
            "length": (100, EPOCHS),
            "steps": ((), EPOCHS),  # cosine
            "warmup": (200, ITERATIONS),
            "warmup_factor": 0.02,
            "starts_after_warmup": True,
            "crop_size": 112,
            "resize_test": 128,
            **_NO_RFS,
            "num_classes": 89,
            "input_format": "RGB",
            **official,
        },
        {
            "warmup": Deviation(
                (1, EPOCHS),
                "196 iterations of the 50,003 images in train.md, and right too where some of them "
                "are held out for validation, which shortens the schedule in epochs",
            )
        },
    )


def _detectron2_of_today(name: str, file: str, **official: object) -> Recipe:
    return Recipe(
        _V1 + f"{name}_federated",
        f"facebookresearch/detectron2: projects/ViTDet/configs/LVIS/{file}, "
        f"projects/ViTDet/configs/COCO/{file}, configs/common/optim.py",
        {
            "images_per_step": 64,
            "optimizer": "AdamW",
            "warmup": (250, ITERATIONS),
            "warmup_factor": 0.001,
            "amp": True,
            "rfs_threshold": 0.001,
            "rfs_rounding": "stochastic",
            "num_classes": 1203,
            "score_threshold": 0.02,
            "detections_per_image": 300,
            "federated_classes": 50,
            "input_format": "RGB",
            **official,
        },
    )


RECIPES = [
    Recipe(
        _V0_5 + "mask_rcnn_R_50_FPN_1x_eql",
        _EQL_SOURCE.format("projects/EQL/configs/eql_mask_rcnn_R_50_FPN_1x.yaml"),
        {**_EQL_V0_5, **_NO_RFS},
    ),
    Recipe(
        _V0_5 + "mask_rcnn_R_50_FPN_1x_eql_rfs",
        _EQL_SOURCE.format("projects/EQL/configs/eql_resampling_mask_rcnn_R_50_FPN_1x.yaml"),
        {**_EQL_V0_5, "rfs_threshold": 0.0005, "rfs_rounding": "stochastic"},
    ),
    _eqlv2_on_lvis_v1("softmax", "mask_rcnn_r50_8x2_1x.py", loss="SoftmaxCE"),
    _eqlv2_on_lvis_v1(
        "eql",
        f"eql_r50_8x2_1x.py, {_BOX_HEAD}",
        loss="EQL",
        **{"loss.lambda_": 0.0011, "loss.prior_prob": 0.001},
    ),
    _eqlv2_on_lvis_v1(
        "eqlv2",
        f"eqlv2_r50_8x2_1x.py, mmdet/models/losses/eqlv2.py, {_BOX_HEAD}",
        loss="EQLv2",
        **{"loss.gamma": 12.0, "loss.mu": 0.8, "loss.alpha": 4.0, "loss.prior_prob": 0.001},
    ),
    _eqlv2_on_lvis_v1(
        "softmax_rfs",
        # mmdetection's ClassBalancedDataset rounds up (mmdet/datasets/dataset_wrappers.py).
        "mask_rcnn_r50_sample1e-3_8x2_1x.py",
        EpochImages(
            100_000,
            "as many iterations as without RFS, so that both cost the same; an official epoch has "
            "each image as often as it is repeated",
        ),
        loss="SoftmaxCE",
        rfs_threshold=0.001,
        rfs_rounding="ceil",
    ),
    Recipe(
        _ONE_STAGE + "improved_baseline_R_50_FPN_2x_efl",
        _EFL_SOURCE.format("efl_improved_baseline_r50_2x_rfs.yaml"),
        _EFL_V1,
    ),
    Recipe(
        _ONE_STAGE + "improved_baseline_R_101_FPN_2x_efl",
        _EFL_SOURCE.format("efl_improved_baseline_r101_2x_rfs.yaml"),
        _EFL_V1,
    ),
    _yolox_ip("s", "efl_yolox_small.yaml", "EFL", **{"loss.alpha": 0.25}),
    _yolox_ip("m", "efl_yolox_medium.yaml", "EFL", **{"loss.alpha": 0.25}),
    # Its file is spelled so.
    _yolox_ip("s", "eqfl_yolox_samll.yaml", "EQFL"),
    _yolox_ip("m", "eqfl_yolox_medium.yaml", "EQFL"),
    _efl_on_open_images(50),
    # Its file says resnet50 all the same; the published results are of ResNet-101.
    _efl_on_open_images(101),
    _eqlv2_on_open_images("softmax", "faster_rcnn_r50_fpn_8x2_2x.py", "SoftmaxCE"),
    _eqlv2_on_open_images("eqlv2", "eqlv2_r50_fpn_8x2_2x.py", "EQLv2"),
    _eqlv2_on_open_images(
        "eql",
        f"eql_r50_fpn_8x2_2x.py, mmdet/models/losses/eql.py, {_BOX_HEAD}",
        "InstanceCountEQL",
        **{"loss.lambda_": 1652, "loss.prior_prob": 0.001},
    ),
    _detectron2_of_today(
        "mask_rcnn_ViTDet_B_100e",
        "mask_rcnn_vitdet_b_100ep.py",
        lr=0.0002,
        weight_decay=0.1,
        length=(156250, ITERATIONS),
        steps=((138889, 150463), ITERATIONS),
    ),
    _detectron2_of_today(
        "cascade_mask_rcnn_Swin_B_50e",
        "cascade_mask_rcnn_swin_b_in21k_50ep.py",
        lr=0.0001,
        weight_decay=0.05,
        length=(78125, ITERATIONS),
        steps=((69444, 75231), ITERATIONS),
    ),
    _aaai_2023(
        "softmax_eql",
        "res18_strikes_100e_bce_eql.yaml",
        **{"loss": "SoftmaxEQL", "loss.indicator": "pos", "loss.tau": 1.0},
    ),
    _aaai_2023(
        "sigmoid",
        "res18_strikes_100e_bce.yaml",
        **{"loss": "SigmoidCE", "loss.prior_prob": 0.5},
    ),
    Recipe(
        "ImageNetLT-Classification/R_50_90e_softmax_eql_cosine",
        "ModelTC/United-Perception: configs/cls/resnet/res50_softmax_eql.yaml",
        {
            "lr": 0.1,  # whatever the number of images a step is, which it does not say
            "length": (90, EPOCHS),
            "steps": ((), EPOCHS),  # cosine
            "warmup": (0, EPOCHS),
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.0005,
            "crop_size": 224,
            "resize_test": 256,
            **_NO_RFS,
            "num_classes": 1000,
            "input_format": "RGB",
            "clip_norm": None,
            "loss": "SoftmaxEQL",
            "loss.indicator": "pos",
            "loss.tau": 1.0,
            "temperature": 30.0,
        },
        epoch_images=EpochImages(115_846, "the images of ImageNet-LT's training list"),
    ),
]
