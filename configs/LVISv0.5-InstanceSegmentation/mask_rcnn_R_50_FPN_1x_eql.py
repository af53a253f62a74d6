from detectron2.config import LazyCall as L

from eql_d2 import EQL
from eql_d2.data import get_image_frequency

from .base_lvis_v0_5 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.roi_heads.box_predictor.loss_cls = L(EQL)(
    num_classes="${..num_classes}",
    image_frequency=lambda: get_image_frequency(dataloader.train.dataset.names),
)
