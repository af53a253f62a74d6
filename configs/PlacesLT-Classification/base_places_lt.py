"""ResNet-152 on Places-LT, 30 epochs: the twin of Base-PlacesLT.yaml; the loss is left to the
leaf."""

from ..common.classification import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.stages.depth = 152
model.classifier.num_classes = 365
dataloader.train.dataset.names = "places_lt_train"
dataloader.test.dataset.names = "places_lt_test"
optimizer.lr = 0.01
train.update(init_checkpoint="R-152.pkl", max_iter=7324)
