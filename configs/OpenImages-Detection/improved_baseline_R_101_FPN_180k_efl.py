from .improved_baseline_R_50_FPN_180k_efl import (  # noqa: F401
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "https://download.pytorch.org/models/resnet101-5d3b4d8f.pth"
