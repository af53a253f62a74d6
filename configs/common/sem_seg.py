"""Data and schedule of segmentation on ADE20K, as in ../Base-SemanticFPN.yaml."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import (
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from fvcore.common.param_scheduler import PolynomialDecayParamScheduler
from omegaconf import OmegaConf

from eql_d2.data import SemSegMapper
from eql_d2.evaluation import build_evaluator

from .train import optimizer, train

dataloader = OmegaConf.create()
dataloader.train = L(build_detection_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names="ade20k_sem_seg_train", filter_empty=False),
    mapper=L(SemSegMapper)(
        is_train=True,
        augmentations=[
            L(T.ResizeShortestEdge)(
                short_edge_length=tuple(range(256, 1025, 64)), max_size=2048, sample_style="choice"
            ),
            L(T.RandomCrop_CategoryAreaConstraint)(
                crop_type="absolute",
                crop_size=(512, 512),
                single_category_max_area=0.75,
                ignored_category=255,
            ),
            L(T.RandomFlip)(horizontal=True),
        ],
        image_format="BGR",
        num_classes="${model.sem_seg_head.num_classes}",
        ignore_label="${model.sem_seg_head.ignore_value}",
    ),
    total_batch_size=16,
    num_workers=4,
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="ade20k_sem_seg_val", filter_empty=False),
    mapper=L(SemSegMapper)(
        is_train=False,
        augmentations=[
            L(T.ResizeShortestEdge)(short_edge_length=512, max_size=2048, sample_style="choice")
        ],
        image_format="${...train.mapper.image_format}",
        num_classes="${model.sem_seg_head.num_classes}",
    ),
    num_workers=4,
)
dataloader.evaluator = L(build_evaluator)(
    dataset_name="${..test.dataset.names}",
    output_dir="${train.output_dir}/inference",
    training_datasets="${..train.dataset.names}",
    sem_seg_groups="${train.eql.sem_seg_groups}",
)

optimizer.update(lr=0.01, weight_decay=5e-4)
lr_multiplier = L(PolynomialDecayParamScheduler)(base_value=1.0, power=0.9)
train.max_iter = 160000
