from detectron2.config import LazyCall as L

from eql_d2 import ECM
from eql_d2.data import get_class_count

from .base_lvis_v1 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.roi_heads.box_predictor.loss_cls = L(ECM)(
    num_classes="${..num_classes}",
    class_count=lambda: get_class_count(dataloader.train.dataset.names),
)
