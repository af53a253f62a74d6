from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from .base_aaai2023 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.loss_cls = L(SoftmaxEQL)(num_classes="${..classifier.num_classes}")
