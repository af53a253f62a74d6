"""The best metric outlives an interruption."""

import torch
from detectron2.engine import HookBase, SimpleTrainer
from torch import nn
from torch.utils.data import DataLoader

from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.engine import LastingBestCheckpointer


class Evaluation(HookBase):
    """Gives the next metric after each step."""

    def __init__(self, metrics):
        self.metrics = iter(metrics)

    def after_step(self):
        self.trainer.storage.put_scalar("bbox/AP", next(self.metrics), smoothing_hint=False)


class Model(nn.Linear):
    def forward(self, data):
        return {"loss": super().forward(torch.ones(1, 1)).sum()}


def train(folder, metrics, stop, kind=LastingBestCheckpointer):
    model = Model(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    trainer = SimpleTrainer(model, DataLoader(range(100)), optimizer)
    checkpointer = EQLCheckpointer(model, str(folder), trainer=trainer)
    best = kind(1, checkpointer, "bbox/AP")
    trainer.register_hooks([Evaluation(metrics), best])
    extra = checkpointer.resume_or_load("", resume=True)
    trainer.train(extra["iteration"] + 1 if extra else 0, 100 if stop else 4)
    return best


def test_the_best_metric_is_kept_in_the_checkpoints(tmp_path):
    class Interrupted(Exception):
        pass

    def metrics():
        yield from (30.0, 50.0, float("nan"))
        raise Interrupted

    try:
        train(tmp_path, metrics(), stop=True)
    except Interrupted:
        pass
    saved = torch.load(tmp_path / "model_best.pth", weights_only=True)
    assert saved["iteration"] == 1
    assert saved["trainer"]["hooks"]["LastingBestCheckpointer"] == {
        "best_metric": 50.0,
        "best_iter": 1,
    }
    best = train(tmp_path, [20.0, 40.0], stop=False)
    assert (best.best_metric, best.best_iter) == (50.0, 1)
    assert torch.load(tmp_path / "model_best.pth", weights_only=True)["iteration"] == 1
