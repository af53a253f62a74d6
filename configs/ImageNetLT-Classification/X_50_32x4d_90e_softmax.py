from ..common.resnext import stages
from .R_50_90e_softmax import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.stages = stages
