"""Steps whose loss or gradient is not finite."""

import functools

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.engine import HookBase, SimpleTrainer, create_ddp_model
from detectron2.engine.launch import _distributed_worker
from detectron2.utils import comm
from torch import nn

from eql_d2 import EQLv2, SeesawLoss, TrainingError
from eql_d2.engine import finite_trainer
from eql_d2.engine.finite_trainer import FiniteAMPTrainer, FiniteTrainer
from eql_d2.engine.same_statistics import SameStatisticsHook
from eql_d2.solver import ClippedSGD

C = 3


class Model(nn.Module):
    """Two losses on one layer; ``gradient`` is what reaches the layer in a backward pass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, C + 1)
        self.norm = nn.BatchNorm1d(C + 1)
        self.loss_cls = EQLv2(C)
        self.loss_other = SeesawLoss(C)
        self.change_loss = self.change_gradient = lambda value: value

    def forward(self, batch):
        logits = self.norm(self.layer(torch.stack([sample["x"] for sample in batch])))
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self.change_gradient(gradient))
        labels = torch.tensor([sample["label"] for sample in batch])
        other = self.loss_other(logits, labels)
        return {"loss_cls": self.change_loss(self.loss_cls(logits, labels)), "loss_other": other}


def batches(rank=0):
    generator = torch.Generator().manual_seed(rank)
    while True:
        yield [
            {
                "x": torch.randn(4, generator=generator),
                "label": i % (C + 1),
                "file_name": f"{rank}/{i}.png",
            }
            for i in range(6)
        ]


def state_of(trainer):
    """Weights and buffers, and the optimizer's momentum."""
    state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for i, values in trainer.optimizer.state_dict()["state"].items():
        state |= {f"{name} {i}": value.clone() for name, value in values.items()}
    return state


def equal(state, other):
    return [name for name in state if not torch.equal(state[name], other[name])] == []


class AtStep(HookBase):
    """Changes the model before one step, and keeps the state that the trainer had then."""

    def __init__(self, step, **changes):
        self.step, self.changes, self.state = step, changes, None

    def before_step(self):
        if self.trainer.iter == self.step:
            self.state = state_of(self.trainer)
            model = getattr(self.trainer.model, "module", self.trainer.model)
            for name, change in self.changes.items():
                setattr(model, name, change)


SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def build(trainer_class=FiniteTrainer, hook=None, optimizer=SGD, **kwargs):
    model = Model()
    optimizer = optimizer(model.parameters())
    trainer = trainer_class(model, batches(), optimizer, **kwargs)
    trainer.register_hooks([hook])
    return trainer


def nan(value):
    return value * float("nan")


def test_ordinary_steps_are_those_of_detectron2():
    ours, detectron2 = build(), build(SimpleTrainer)
    for trainer in (ours, detectron2):
        trainer.train(0, 5)
    assert equal(state_of(ours), state_of(detectron2))
    assert not hasattr(ours, "_step")  # t10: no batch is kept alive
    assert not ours.model._forward_hooks and not ours.model._forward_pre_hooks


IMAGES = r" \(images 0/0.png, 0/1.png, 0/2.png, 0/3.png, 0/4.png, 0/5.png\)$"


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"change_loss": nan}, "loss_cls is nan" + IMAGES),
        ({"change_loss": lambda loss: loss + float("inf")}, "loss_cls is inf" + IMAGES),
        ({"change_gradient": nan}, "the gradient of layer.weight and of . parameters more is not"),
        ({"change_gradient": lambda g: g * 1e39}, "the gradient of layer.weight .* is not finite"),
    ],
    ids=["loss", "loss alone", "gradient", "infinite gradient"],
)
def test_a_step_that_is_not_finite_leaves_no_trace(change, problem):
    hook = AtStep(3, **change)
    trainer = build(hook=hook)
    with pytest.raises(TrainingError, match=f"^iteration 3: {problem}") as error:
        trainer.train(0, 10)
    assert "\n" not in str(error.value) and error.match(IMAGES)
    assert equal(state_of(trainer), hook.state)
    assert hook.state["loss_cls.statistics.neg_grad"].min() > 0
    assert hook.state["loss_other.class_count"].min() > 0


def test_a_loss_that_is_not_finite_in_another_process_ends_all(monkeypatch):
    """Two real ones, which would wait for each other: below."""
    of_another = ("loss_cls is nan", ["1/0.png"])
    monkeypatch.setattr(finite_trainer, "sum_over_ranks", lambda is_bad: is_bad + 1)
    monkeypatch.setattr(comm, "all_gather", lambda own: [own, of_another])
    hook = AtStep(0)
    trainer = build(hook=hook)
    line = r"^iteration 0: loss_cls is nan \(images 1/0.png\)$"
    with pytest.raises(TrainingError, match=line):
        trainer.train(0, 1)
    assert equal(state_of(trainer), hook.state)


def test_whatever_ends_a_step_early_leaves_no_trace():
    def interrupt(gradient):
        raise KeyboardInterrupt

    hook = AtStep(2, change_gradient=interrupt)
    trainer = build(hook=hook)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(0, 10)
    assert equal(state_of(trainer), hook.state)


def test_what_detectron2_finds_in_a_forward_pass_is_one_line_too():
    def diverged(loss):
        raise FloatingPointError("Predicted boxes contain Inf/NaN. Training has diverged.")

    trainer = build(hook=AtStep(1, change_loss=diverged))
    message = "^iteration 1: Predicted boxes .* Training has diverged" + IMAGES
    with pytest.raises(TrainingError, match=message):
        trainer.train(0, 10)


def test_a_gradient_whose_norm_overflows_is_finite():
    trainer = build(hook=AtStep(1, change_gradient=lambda gradient: gradient * 1e25))
    trainer.optimizer.param_groups[0]["lr"] = 1e-30
    trainer.train(0, 3)
    assert trainer.iter == 3


def test_of_many_images_some_are_named():
    trainer = build()
    trainer._data_loader_iter_obj = iter([next(batches()) * 4])
    trainer.model.change_loss = nan
    with pytest.raises(TrainingError, match=r"0/3.png and 8 more\)$"):
        trainer.train(0, 1)


@pytest.fixture
def amp(monkeypatch):
    """Builds Detectron2's trainer for mixed precision, which asks for CUDA, on a CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.amp.autocast", functools.partial(torch.autocast, "cpu"))

    def build_amp(scale, **kwargs):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6)
        return build(FiniteAMPTrainer, grad_scaler=scaler, **kwargs)

    return build_amp


class Watch(HookBase):
    def __init__(self):
        self.states = []

    def after_step(self):
        self.states.append(state_of(self.trainer))


OPTIMIZERS = {
    "SGD": SGD,
    # PyTorch's begins with a momentum of arbitrary numbers where the first step was skipped.
    "fused SGD": functools.partial(torch.optim.SGD, lr=0.1, fused=True),
    "fused SGD that clips": functools.partial(ClippedSGD, lr=0.1, fused=True, max_norm=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_amp_steps_that_the_scaler_skips_count_for_nothing(amp, optimizer):
    """Until the scale has come down. A fused optimizer is called all the same, and skips it."""
    skipping, watch = amp(2.0**24, optimizer=optimizer), Watch()
    before = state_of(skipping)
    skipping.register_hooks([watch])
    batch = next(batches())
    skipping._data_loader_iter_obj = iter([batch] * 16)
    skipping.train(0, 16)
    states = [before, *watch.states]
    moved = [not equal(*pair) for pair in zip(states, states[1:])]
    assert 3 < moved.index(True) and moved.count(True) > 2

    direct = amp(skipping.grad_scaler.get_scale(), optimizer=optimizer)
    direct._data_loader_iter_obj = iter([batch] * 16)
    direct.train(0, moved.count(True))
    assert equal(state_of(skipping), state_of(direct))


def test_amp_statistics_are_those_of_the_logits_and_not_of_the_scale(amp):
    trainers = [amp(1.0), amp(2.0**10)]
    for trainer in trainers:
        trainer.train(0, 1)
    one, other = (trainer.model.loss_cls.statistics for trainer in trainers)
    assert torch.equal(one.pos_grad, other.pos_grad) and one.pos_grad.min() > 0


def test_amp_loss_that_is_not_finite_ends_the_training(amp):
    hook = AtStep(2, change_loss=nan)
    trainer = amp(1.0, hook=hook)
    with pytest.raises(TrainingError, match="^iteration 2: loss_cls is nan" + IMAGES):
        trainer.train(0, 10)
    assert equal(state_of(trainer), hook.state)


def test_amp_gradient_that_no_scale_makes_finite_ends_the_training(amp):
    hook = AtStep(2, change_gradient=nan)
    trainer = amp(2.0**10, hook=hook)
    message = "^iteration 26: the gradient is not finite at any scale .* down to 6.1e-05"
    with pytest.raises(TrainingError, match=message + IMAGES):
        trainer.train(0, 100)
    assert equal(state_of(trainer), hook.state)


def run_rank(folder):
    """Two trainings: one with an infinite loss in process 1 alone, one with other statistics."""
    rank = comm.get_rank()
    lines = []
    for change in ("loss", "statistics"):
        model = Model()
        hook = AtStep(3)
        if rank == 1 and change == "loss":
            hook = AtStep(3, change_loss=lambda loss: loss + float("inf"))
        model.norm = nn.Identity()
        trainer = FiniteTrainer(
            create_ddp_model(model, device_ids=None, broadcast_buffers=False),
            batches(rank),
            torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        )
        trainer.register_hooks([hook, SameStatisticsHook(5)])
        if change == "statistics":
            model.loss_cls.statistics.pos_grad[1] += rank
        try:
            trainer.train(0, 10)
        except TrainingError as error:
            lines.append(str(error))
        if change == "loss":
            assert equal(state_of(trainer), hook.state)
    (folder / f"lines{rank}").write_text("\n".join(lines))


@pytest.mark.slow
def test_two_processes_end_with_the_same_line(tmp_path):
    init = f"file://{tmp_path / 'init'}"
    arguments = (run_rank, 2, 2, 0, init, (tmp_path,))
    mp.spawn(_distributed_worker, arguments, nprocs=2)
    lines = [(tmp_path / f"lines{rank}").read_text().splitlines() for rank in range(2)]
    assert lines[0] == lines[1]
    of_loss, of_statistics = lines[0]
    assert of_loss.startswith("iteration 3, process 1: loss_cls is inf (images 1/0.png, ")
    assert of_statistics.startswith(
        "iteration 5: the statistics of loss_cls in process 1 are not those of process 0: "
    )
