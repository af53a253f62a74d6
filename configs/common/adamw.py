"""AdamW and mixed precision: Detectron2's configs/common/optim.py and projects/ViTDet."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver.build import get_default_optimizer_params

from .train import train

train.amp.enabled = True
train.ddp.fp16_compression = True

optimizer = L(torch.optim.AdamW)(
    params=L(get_default_optimizer_params)(base_lr="${..lr}", weight_decay_norm=0.0),
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.1,
)
