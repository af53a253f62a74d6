from detectron2.config import LazyCall as L

from eql_d2 import SEQL
from eql_d2.data import get_image_frequency

from .base_imagenet_lt import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.loss_cls = L(SEQL)(
    num_classes="${..classifier.num_classes}",
    image_frequency=lambda: get_image_frequency(dataloader.train.dataset.names),
)
