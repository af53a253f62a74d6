from detectron2.config import LazyCall as L

from eql_d2 import EQFL

from ..common.yolox_ip import dataloader, model, optimizer, schedule, train  # noqa: F401

model.max_detections_per_image = 100
model.loss_cls = L(EQFL)(num_classes="${..num_classes}", scale=0.0)
dataloader.train.dataset.names = "coco_2017_train"
dataloader.test.dataset.names = "coco_2017_val"
train.max_iter = 274842
lr_multiplier = schedule(train.max_iter, warmup_iters=4581, constant_iters=13742)
