"""Long-tailed recognition in Detectron2: the equalization losses."""

import inspect

import torch
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers

if not hasattr(torch.library, "custom_op"):  # by which torch.compile knows the kernels
    raise ImportError(
        f"eql_d2 needs PyTorch 2.4 or later, and this is {torch.__version__}: pip install "
        "--upgrade torch torchvision, then build Detectron2 anew"
    )
if "use_sigmoid_ce" not in inspect.signature(FastRCNNOutputLayers.__init__).parameters:
    raise ImportError(
        "eql_d2 needs a Detectron2 of April 2022 or later (FastRCNNOutputLayers with "
        "use_sigmoid_ce): pip install --no-build-isolation "
        "'git+https://github.com/facebookresearch/detectron2.git'"
    )

from .config import add_eql_config
from .exceptions import InputError, TrainingError
from .losses import (
    ECM,
    EFL,
    EQFL,
    EQL,
    FRACAL,
    SEQL,
    BalancedSoftmax,
    ClassificationLoss,
    ClassWeightedSigmoidCE,
    ClassWeightedSoftmaxCE,
    EQLv2,
    FocalLoss,
    GradientStatistics,
    InstanceCountEQL,
    LogitAdjustment,
    NorCal,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
    calibrate,
    step_of,
)
from .modeling import (
    EQLYOLOXIP,
    YOLOPAFPN,
    ATSSAssigner,
    ATSSHead,
    CosineClassifier,
    CSPDarknet,
    EQLCascadeROIHeads,
    EQLDeepLabV3PlusHead,
    EQLFastRCNNOutputLayers,
    EQLImprovedBaseline,
    EQLImprovedBaselineLegacyBoxes,
    EQLRes5ROIHeads,
    EQLRetinaNet,
    EQLROIHeads,
    EQLSemSegFPNHead,
    ImageClassifier,
    LinearClassifier,
    TimmBackbone,
    TorchvisionBackbone,
    YOLOXHead,
)
from .versions import __version__
