from .fast_rcnn import EQLFastRCNNOutputLayers
from .retinanet import EQLRetinaNet
from .roi_heads import EQLCascadeROIHeads, EQLRes5ROIHeads, EQLROIHeads

__all__ = [
    "EQLCascadeROIHeads",
    "EQLFastRCNNOutputLayers",
    "EQLROIHeads",
    "EQLRetinaNet",
    "EQLRes5ROIHeads",
]
