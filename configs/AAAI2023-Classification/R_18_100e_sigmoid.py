from detectron2.config import LazyCall as L

from eql_d2 import SigmoidCE

from .base_aaai2023 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.loss_cls = L(SigmoidCE)(num_classes="${..classifier.num_classes}", prior_prob=0.5)
