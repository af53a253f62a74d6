from .fast_rcnn import EQLFastRCNNOutputLayers
from .roi_heads import EQLCascadeROIHeads, EQLRes5ROIHeads, EQLROIHeads

__all__ = ["EQLCascadeROIHeads", "EQLFastRCNNOutputLayers", "EQLROIHeads", "EQLRes5ROIHeads"]
