"""The twin of classification_R_18_instant_softmax_eql.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from ..common.classification import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.stages.depth = 18
del model.backbone.stages.stride_in_1x1  # basic blocks have no 1 x 1 convolution
model.classifier.in_features = 512
model.loss_cls = L(SoftmaxEQL)(num_classes="${..classifier.num_classes}")

dataloader.train.mapper.transform.transforms[0].size = 64
dataloader.test.mapper.transform.transforms[0].size = 73
dataloader.test.mapper.transform.transforms[1].size = 64
dataloader.train.update(total_batch_size=8, num_workers=0)
dataloader.test.num_workers = 0

train.max_iter = 20
train.checkpointer.period = 10
train.eql.log_period = 10
optimizer.lr = 0.01
