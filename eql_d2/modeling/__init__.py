from .atss import ATSSAssigner, ATSSHead
from .classification import (
    CLASSIFIER_REGISTRY,
    CosineClassifier,
    ImageClassifier,
    LinearClassifier,
    build_classifier,
)
from .fast_rcnn import EQLFastRCNNOutputLayers
from .improved_baseline import EQLImprovedBaseline
from .retinanet import EQLRetinaNet
from .roi_heads import EQLCascadeROIHeads, EQLRes5ROIHeads, EQLROIHeads
from .semantic_seg import EQLDeepLabV3PlusHead, EQLSemSegFPNHead
from .torchvision_backbone import TorchvisionBackbone, build_torchvision_backbone
