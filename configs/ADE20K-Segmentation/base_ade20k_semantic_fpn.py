"""The twin of Base-ADE20K-SemanticFPN.yaml."""

from ..common.sem_seg import dataloader, lr_multiplier, optimizer, train
from ..common.semantic_fpn import model

model.sem_seg_head.num_classes = 150

__all__ = ["dataloader", "lr_multiplier", "model", "optimizer", "train"]
