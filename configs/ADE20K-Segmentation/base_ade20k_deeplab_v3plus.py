"""The twin of Base-ADE20K-DeepLabV3Plus.yaml."""

from ..common.deeplab_v3plus import model
from ..common.sem_seg import dataloader, lr_multiplier, optimizer, train

model.sem_seg_head.num_classes = 150

__all__ = ["dataloader", "lr_multiplier", "model", "optimizer", "train"]
