"""Each trial has GPUs of its own."""

import json

import pytest
import torch

from eql_d2 import InputError
from eql_d2.study.gpus import FreeGpus, visible_gpus
from eql_d2.study.plan import make_study
from eql_d2.study.runner import run_study


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with so many GPUs."""

    def make(count, visible=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    make(0)
    return make


def with_device(content, device):
    return {**content, "overrides": {**content["overrides"], "MODEL.DEVICE": device}}


def test_those_that_the_user_shows_are_handed_out(machine):
    machine(3)
    assert visible_gpus() == ["0", "1", "2"]
    machine(2, "5, 7")
    assert visible_gpus() == ["5", "7"]
    machine(0, "")
    assert visible_gpus() == []


def test_each_trial_has_its_own_and_the_others_wait(content, machine):
    machine(3)
    study = make_study({**with_device(content, "cuda"), "gpus": 2, "seeds": [1]}, "toy")
    one, two = study.trials
    words = one.command
    assert one.gpus == 2 and words[words.index("--num-gpus") + 1] == "2"
    free = FreeGpus(study)
    assert free.has_for(one) and free.take(one) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert not free.has_for(two)
    free.give_back(one)
    assert free.has_for(two) and free.take(two) == {"CUDA_VISIBLE_DEVICES": "2,0"}
    machine(1)
    with pytest.raises(InputError, match="^gpus is 2, but this machine has 1: give 1 or fewer$"):
        FreeGpus(study)


@pytest.mark.usefixtures("fake")
def test_more_jobs_than_gpus_run_one_after_another(content, machine, capfd):
    machine(1)
    study = make_study({**with_device(content, "cuda"), "jobs": 6, "seeds": [1, 2]}, "toy")
    run_study(study)
    assert "6 at a time, as far as the GPUs go (of 1 each takes 1)" in capfd.readouterr().out
    records = [json.loads((trial.folder / "run.json").read_text()) for trial in study.trials]
    assert [record["at_a_time"] for record in records] == [1] * 4


def test_a_trial_on_cpus_takes_none(content, machine):
    machine(1)
    free = FreeGpus(study := make_study(with_device(content, "cpu"), "toy"))
    assert free.take(study.trials[0]) == {} and free.has_for(study.trials[1])


def test_gpus_are_a_number(content):
    with pytest.raises(InputError, match="^gpus is 0: give an integer of 1 or more$"):
        make_study({**content, "gpus": 0}, "toy")
