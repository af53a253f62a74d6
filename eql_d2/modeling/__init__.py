from .atss import ATSSAssigner, ATSSHead
from .fast_rcnn import EQLFastRCNNOutputLayers
from .improved_baseline import EQLImprovedBaseline
from .retinanet import EQLRetinaNet
from .roi_heads import EQLCascadeROIHeads, EQLRes5ROIHeads, EQLROIHeads

__all__ = [
    "ATSSAssigner",
    "ATSSHead",
    "EQLCascadeROIHeads",
    "EQLFastRCNNOutputLayers",
    "EQLImprovedBaseline",
    "EQLROIHeads",
    "EQLRetinaNet",
    "EQLRes5ROIHeads",
]
