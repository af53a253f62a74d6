"""The hook by itself; whole trainings that are killed are in ``test_exact_resume_processes.py``."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from torch.utils.data import SequentialSampler

from eql_d2.data import ResumableLoader
from eql_d2.drawn_seed import read_drawn_seed
from eql_d2.engine import Trainer
from eql_d2.engine.exact_resume import ExactResumeHook

SIZE = {"width": 4, "height": 3}


def loader(num_images=6, batch_size=2, sampler=None, first_id=0):
    images = [{"image_id": first_id + i, **SIZE} for i in range(num_images)]
    return build_detection_train_loader(
        images,
        mapper=dict,
        sampler=sampler or TrainingSampler(num_images),
        total_batch_size=batch_size,
    )


def begin(seed=7, state=None, start_iter=0, data_loader=None, output_dir=""):
    """A hook that has begun a training, and that training."""
    trainer = SimpleNamespace(data_loader=data_loader or loader(), start_iter=start_iter, iter=0)
    hook = ExactResumeHook(seed, output_dir)
    hook.trainer = trainer
    if state is not None:
        hook.load_state_dict(state)
    hook.before_train()
    return hook, trainer


def drawn(hook, iteration):
    hook.trainer.iter = iteration
    hook.before_step()
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_numbers_of_a_step_belong_to_its_iteration(monkeypatch):
    hook, _ = begin()
    steps = [drawn(hook, i) for i in range(5)]
    assert len(set(steps)) == 5
    assert drawn(begin()[0], 3) == steps[3]
    assert drawn(begin(seed=8)[0], 3) != steps[3]
    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    assert drawn(begin()[0], 3) != steps[3]


@pytest.mark.parametrize("seed", [7, -1])
def test_a_resumed_training_has_the_same_seed_and_order(seed, warnings):
    """The sampler's is drawn anew each time that it is built, and with SEED -1 all are."""
    hook, trainer = begin(seed)
    other, resumed = begin(seed, hook.state_dict(), start_iter=3)
    assert resumed.data_loader.sampler._seed == trainer.data_loader.sampler._seed
    assert drawn(other, 3) == drawn(hook, 3)
    assert trainer.data_loader.start == 0 and resumed.data_loader.start == 3
    assert resumed.data_loader.seed == trainer.data_loader.seed
    assert other.state_dict() == hook.state_dict() and not warnings


def test_a_seed_that_was_drawn_is_kept_for_the_report(tmp_path):
    state = begin(-1, output_dir=tmp_path)[0].state_dict()
    assert read_drawn_seed(tmp_path) == state["seed"]
    begin(-1, state, start_iter=3, output_dir=tmp_path / "resumed")
    assert read_drawn_seed(tmp_path / "resumed") == state["seed"]
    begin(7, output_dir=tmp_path / "given")
    assert read_drawn_seed(tmp_path / "given") is None


def test_drawn_seeds_differ():
    assert begin(-1)[0].state_dict()["seed"] != begin(-1)[0].state_dict()["seed"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "because of SEED (was 7, is 8)"),
        ({"data_loader": lambda: loader(batch_size=3)}, "images of a step (was 2, is 3)"),
        ({"data_loader": lambda: loader(num_images=5)}, "training images (was 6, is 5)"),
        ({"data_loader": lambda: loader(first_id=1)}, "checksum of their names (was "),
        (
            {"data_loader": lambda: loader(sampler=RepeatFactorTrainingSampler(torch.ones(6)))},
            "sampler (was TrainingSampler, is FastRepeatFactorTrainingSampler)",
        ),
        ({"processes": 2}, "because of processes (was 1, is 2)"),
    ],
)
def test_what_changes_the_order_is_said_in_one_line(change, message, warnings, monkeypatch):
    state = begin()[0].state_dict()
    change = dict(change)
    build, processes = change.pop("data_loader", loader), change.pop("processes", 1)
    data_loader = build()
    monkeypatch.setattr(comm, "get_world_size", lambda: processes)
    if processes == 2:
        data_loader.batch_size = 1  # of each
    hook, _ = begin(**{"seed": 7, **change}, state=state, start_iter=3, data_loader=data_loader)
    (line,) = warnings
    assert line.startswith("The training data go on in another order") and message in line
    assert "\n" not in line
    warnings.clear()
    begin(**{"seed": 7, **change}, state=hook.state_dict(), start_iter=5, data_loader=data_loader)
    assert not warnings


def test_a_seed_that_is_changed_is_taken():
    state = begin(7)[0].state_dict()
    hook, trainer = begin(8, state, start_iter=3)
    assert drawn(hook, 3) == drawn(begin(8)[0], 3)
    assert hook.state_dict()["order"] == {"seed": trainer.data_loader.sampler._seed}
    assert hook.state_dict()["order"] != state["order"]


def test_repeat_factors_that_changed_are_said(warnings):
    def repeating(factor):
        return loader(sampler=RepeatFactorTrainingSampler(torch.full((6,), factor), seed=1))

    state = begin(data_loader=repeating(1.5))[0].state_dict()
    begin(state=state, start_iter=3, data_loader=repeating(1.5))
    assert not warnings
    begin(state=state, start_iter=3, data_loader=repeating(2.5))
    assert len(warnings) == 1 and "checksum of their repeat factors (was " in warnings[0]


def test_what_cannot_be_resumed_is_said_at_the_start(warnings):
    hook, trainer = begin(data_loader=[[SIZE]])
    assert trainer.data_loader == [[SIZE]] and len({drawn(hook, i) for i in range(3)}) == 3
    assert "does not outlive an interruption: list is not a loader of Detectron2" in warnings[0]
    begin(data_loader=loader(sampler=SequentialSampler(range(6))))
    assert warnings[1].startswith("SequentialSampler is not a training sampler of Detectron2")
    assert len(warnings) == 2


@pytest.mark.slow
def test_checkpoints_are_detectron2s_and_those_of_detectron2_are_resumed(
    registered_cfg, warnings, tmp_path
):
    registered_cfg.DATASETS.TEST = ()
    trainer = Trainer(registered_cfg)
    trainer.train()
    assert isinstance(trainer._trainer.data_loader, ResumableLoader)
    path = tmp_path / "output/model_final.pth"
    content = torch.load(path, weights_only=True)
    theirs = TrainerBase()
    theirs.load_state_dict(content["trainer"])
    assert theirs.iter == 3
    ignored = [line for line in warnings if "ExactResumeHook" in line]
    assert ignored == ["Cannot find the hook 'ExactResumeHook', its state_dict is ignored."]

    del content["trainer"]["hooks"]["ExactResumeHook"]
    for file in path.parent.glob("model_*"):
        file.unlink()
    torch.save(content, path)
    warnings.clear()
    registered_cfg.SOLVER.MAX_ITER = 6
    resumed = Trainer(registered_cfg)
    resumed.resume_or_load(resume=True)
    resumed.train()
    assert resumed._trainer.data_loader.start == 4 and resumed.iter == 6
    assert [line for line in warnings if "does not say in which order" in line]
