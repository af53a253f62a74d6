from detectron2.config import LazyCall as L

from eql_d2 import EQFL

from .base_lvis_v1_improved_baseline import (  # noqa: F401
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.loss_cls = L(EQFL)(num_classes="${..num_classes}")
