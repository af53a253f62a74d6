from eql_d2.modeling import CosineClassifier

from .R_50_90e_softmax_eql import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.classifier._target_ = CosineClassifier
model.classifier.temperature = 30.0
