from .anchor_counts import AnchorCounts, ImageSize, count_anchors, count_mixed_anchors
from .atss import ATSSAssigner, ATSSHead
from .classification import ImageClassifier
from .classifiers import (
    CLASSIFIER_REGISTRY,
    CosineClassifier,
    LinearClassifier,
    build_classifier,
)
from .fast_rcnn import EQLFastRCNNOutputLayers
from .fpn import LateralFPN, LateralP6P7, build_improved_baseline_resnet_fpn_backbone
from .improved_baseline import EQLImprovedBaseline
from .initial_regime import InitialRegime, has_regime, initial_regime, predict_regime
from .legacy_boxes import EQLImprovedBaselineLegacyBoxes
from .retinanet import EQLRetinaNet
from .roi_heads import EQLCascadeROIHeads, EQLRes5ROIHeads, EQLROIHeads
from .semantic_seg import EQLDeepLabV3PlusHead, EQLSemSegFPNHead
from .timm_backbone import (
    TimmBackbone,
    build_timm_backbone,
    build_timm_fpn_backbone,
    build_timm_retinanet_fpn_backbone,
)
from .torchvision_backbone import TorchvisionBackbone, build_torchvision_backbone
from .yolox import (
    EQLYOLOXIP,
    YOLOPAFPN,
    CSPDarknet,
    YOLOXHead,
    build_yolox_backbone,
)
