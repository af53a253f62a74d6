"""ResNet-50 on iNaturalist 2018, 90 epochs: the twin of Base-iNaturalist18.yaml; the loss is left
to the leaf."""

from ..common.classification import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.classifier.num_classes = 8142
dataloader.train.dataset.names = "inaturalist18_train"
dataloader.test.dataset.names = "inaturalist18_val"
train.max_iter = 153813
