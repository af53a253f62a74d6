"""ResNet-18 on the challenge at AAAI 2023: the twin of Base-AAAI2023.yaml; the loss is left to the
leaf."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params

from eql_d2.solver import build_lamb

from ..common.classification import dataloader, lr_multiplier, model, train

model.backbone.stages.depth = 18
del model.backbone.stages.stride_in_1x1  # basic blocks have no 1 x 1 convolution
model.classifier.update(in_features=512, num_classes=89)
dataloader.train.dataset.names = "aaai2023_train"
dataloader.test.dataset.names = "aaai2023_val"
dataloader.train.mapper.transform.transforms[0].size = 112
dataloader.test.mapper.transform.transforms[0].size = 128
dataloader.test.mapper.transform.transforms[1].size = 112
train.epochs = 100
optimizer = L(build_lamb)(
    params=L(get_default_optimizer_params)(weight_decay_norm=0.02), lr=0.008, weight_decay=0.02
)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=lr_multiplier,
    warmup_length=1 / train.epochs,
    warmup_factor=0.02,
    rescale_interval=True,
)
