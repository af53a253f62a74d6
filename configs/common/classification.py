"""ResNet-50 with a linear classifier on ImageNet-LT, the twin of ../Base-Classification.yaml; the
loss is left to the leaf."""

import torch
import torchvision.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import (
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.solver.build import get_default_optimizer_params
from fvcore.common.param_scheduler import CosineParamScheduler
from omegaconf import OmegaConf

from eql_d2.data import ClassificationMapper
from eql_d2.evaluation import build_evaluator
from eql_d2.modeling import ImageClassifier, LinearClassifier

from .train import train

model = L(ImageClassifier)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="BN"),
        stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=False, norm="BN"),
        out_features=["res5"],
    ),
    classifier=L(LinearClassifier)(in_features=2048, num_classes=1000),
    in_feature="res5",
    # Of ImageNet, in RGB
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
)

dataloader = OmegaConf.create()
dataloader.train = L(build_detection_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names="imagenet_lt_train"),
    mapper=L(ClassificationMapper)(
        transform=L(T.Compose)(
            transforms=[
                L(T.RandomResizedCrop)(size=224, scale=(0.08, 1.0)),
                L(T.RandomHorizontalFlip)(p=0.5),
                L(T.ColorJitter)(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0),
            ]
        ),
        image_format="RGB",
    ),
    total_batch_size=256,
    aspect_ratio_grouping=False,
    num_workers=4,
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="imagenet_lt_test", filter_empty=False),
    mapper=L(ClassificationMapper)(
        transform=L(T.Compose)(transforms=[L(T.Resize)(size=256), L(T.CenterCrop)(size=224)]),
        image_format="${...train.mapper.image_format}",
    ),
    batch_size=32,  # of each process
    num_workers=4,
)
dataloader.evaluator = L(build_evaluator)(
    dataset_name="${..test.dataset.names}",
    output_dir="${train.output_dir}/inference",
    training_datasets="${..train.dataset.names}",
    frequency_thresholds="${train.eql.frequency_thresholds}",
)

optimizer = L(torch.optim.SGD)(
    params=L(get_default_optimizer_params)(weight_decay_norm=5e-4),
    lr=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
)
lr_multiplier = L(CosineParamScheduler)(start_value=1.0, end_value=0.0)

train.init_checkpoint = ""
train.eql.frequency_thresholds = (19, 100)  # few-shot: below 20 images, many-shot: above 100
