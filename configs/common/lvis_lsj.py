"""LVIS v1 with large-scale jitter and repeat factor sampling, 64 images a step: the data of
Detectron2's projects/ViTDet."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L

from .lvis import dataloader, repeat_factor_sampler

dataloader.train.mapper.update(
    augmentations=[
        L(T.RandomFlip)(horizontal=True),
        L(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=1024, target_width=1024),
        L(T.FixedSizeCrop)(crop_size=(1024, 1024), pad=False),
    ],
    image_format="RGB",
    recompute_boxes=True,  # from the cropped masks
)
dataloader.train.total_batch_size = 64
dataloader.train.sampler = repeat_factor_sampler
dataloader.test.mapper.augmentations[0].update(short_edge_length=1024, max_size=1024)
