"""ResNet-50 on ImageNet-LT, 90 epochs: the twin of Base-ImageNetLT.yaml; the loss is left to the
leaf."""

from ..common.classification import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

train.max_iter = 40727
