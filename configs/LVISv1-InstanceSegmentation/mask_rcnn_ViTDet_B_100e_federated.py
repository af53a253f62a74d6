from detectron2.data.detection_utils import get_fed_loss_cls_weights
from detectron2.modeling.roi_heads import FastRCNNOutputLayers

from .base_lvis_v1_vitdet import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

# Detectron2's own recipe, with its score threshold
model.roi_heads.box_predictor.update(
    _target_=FastRCNNOutputLayers,
    test_score_thresh=0.02,
    use_sigmoid_ce=True,
    use_fed_loss=True,
    get_fed_loss_cls_weights=lambda: get_fed_loss_cls_weights(dataloader.train.dataset.names, 0.5),
)
