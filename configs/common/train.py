"""What all trainings share: 16 images a step, SGD with learning rate 0.02."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params
from fvcore.common.param_scheduler import MultiStepParamScheduler

train = dict(
    output_dir="./output",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    max_iter=90000,
    epochs=0,  # instead of max_iter, of the images as often as the sampler repeats them
    micro_batches=1,  # parts of a batch, one after the other; as SOLVER.MICRO_BATCHES of a yaml
    amp=dict(enabled=False),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period=5000, max_to_keep=100),
    eval_period=0,
    log_period=20,
    device="cuda",
    # As MODEL.EMA.* and TEST.AVERAGE_NORM of a yaml config
    model_ema=dict(decay=0.0, warmup=2000),
    average_norm=False,
    # As MODEL.EQL.* of a yaml config
    eql=dict(
        monitor=False,
        reset_statistics=False,
        log_period=100,
        frequency_thresholds=(10, 100),
        sem_seg_groups=("pixels", ()),
    ),
)

optimizer = L(torch.optim.SGD)(
    params=L(get_default_optimizer_params)(weight_decay_norm=0.0),
    lr=0.02,
    momentum=0.9,
    weight_decay=1e-4,
)


def multi_step(steps, max_iter, warmup_iters=1000):
    """Learning rate times 0.1 at each step, after a linear warm-up; all in iterations or epochs."""
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[0.1**k for k in range(len(steps) + 1)],
            milestones=list(steps),
            num_updates=max_iter,
        ),
        warmup_length=warmup_iters / max_iter,
        warmup_method="linear",
        warmup_factor=0.001,
    )
