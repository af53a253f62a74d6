"""A file that holds an averaged model: what is loaded of it, and for what."""

import logging

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from eql_d2 import InputError, TrainingError
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.losses import GradientStatistics


def filled(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def pair():
    """A model of zeros, and an average of fives."""
    model = filled(nn.Linear(2, 2), 0.0)
    average = AveragedModel(model, use_buffers=True)
    filled(average, 5.0)
    return model, average


class State:
    """Stands for a trainer."""

    def state_dict(self):
        return {"iteration": 3}

    def load_state_dict(self, state):
        self.loaded = state


@pytest.fixture
def file(tmp_path):
    """A checkpoint of a training: the model is 1, its average 2, after 7 updates."""
    model, average = pair()
    filled(model, 1.0), filled(average, 2.0), average.n_averaged.fill_(7)
    EQLCheckpointer(model, str(tmp_path), model_ema=average, trainer=State()).save("model_0000003")
    return tmp_path / "model_0000003.pth"


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def values(model):
    return {parameter.mean().item() for parameter in model.parameters()}


def test_the_file_has_the_model_and_beside_it_the_average(file):
    content = torch.load(file, weights_only=True)
    assert content["model"].keys() == {"weight", "bias"}
    assert content["model_ema"].keys() == {"n_averaged", "module.weight", "module.bias"}
    assert (content["model"]["bias"] == 1).all() and (
        content["model_ema"]["module.bias"] == 2
    ).all()


def test_an_evaluation_and_a_fine_tuning_load_the_average_and_say_so(file, caplog):
    caplog.set_level(logging.INFO, "eql_d2.checkpoint")
    model, average = pair()
    EQLCheckpointer(model).load(str(file))
    assert values(model) == {2.0}
    lines = [r.getMessage() for r in caplog.records if "averaged model" in r.getMessage()]
    assert lines == [f"{file} holds an averaged model (EMA): that is what is loaded"]

    model, average = pair()  # MODEL.WEIGHTS of a training with an average of its own
    checkpointer = EQLCheckpointer(model, model_ema=average, trainer=State())
    checkpointer.load(str(file), checkpointables=[])
    assert values(model) == {2.0} and values(average) == {5.0}

    filled(model, 0.0)
    EQLCheckpointer(model, str(file.parent)).resume_or_load("")  # --eval-only --resume
    assert values(model) == {2.0}


def test_a_resumed_training_has_both(file, caplog):
    model, average = pair()
    checkpointer = EQLCheckpointer(model, str(file.parent), model_ema=average, trainer=State())
    checkpointer.load(checkpointer.newest())
    assert values(model) == {1.0} and values(average) == {2.0} and average.n_averaged == 7
    assert not warnings_in(caplog)


def test_a_training_that_asks_for_no_average_goes_on_without_and_says_so(file, caplog):
    model, _ = pair()
    checkpointer = EQLCheckpointer(model, str(file.parent), trainer=State())
    checkpointer.load(checkpointer.newest())
    assert values(model) == {1.0}
    (line,) = warnings_in(caplog)
    assert "the training goes on without" in line


def test_a_checkpoint_without_an_average_is_resumed_by_a_training_with_one(tmp_path):
    model, average = pair()
    EQLCheckpointer(filled(model, 1.0), str(tmp_path), trainer=State()).save("model_0000003")
    filled(model, 0.0)
    checkpointer = EQLCheckpointer(model, str(tmp_path), model_ema=average, trainer=State())
    checkpointer.load(checkpointer.newest())
    assert values(model) == {1.0} and values(average) == {5.0} and average.n_averaged == 0


def rewrite(file, change):
    content = torch.load(file, weights_only=True)
    change(content)
    file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)
    torch.save(content, file)


@pytest.mark.parametrize("entry", [None, 3, [1], {}, {"weight": torch.zeros(2, 2)}])
def test_what_is_no_averaged_model_is_refused(file, entry):
    rewrite(file, lambda content: content.update(model_ema=entry))
    model, average = pair()
    resuming = EQLCheckpointer(model, model_ema=average, trainer=State())
    for checkpointer in (EQLCheckpointer(model), resuming):
        with pytest.raises(InputError, match="is no averaged model of PyTorch") as error:
            checkpointer.load(str(file))
        assert "\n" not in str(error.value)


def test_an_average_of_another_model_is_refused(file):
    rewrite(file, lambda content: content["model_ema"].pop("module.bias"))
    model, average = pair()
    checkpointer = EQLCheckpointer(model, model_ema=average, trainer=State())
    with pytest.raises(InputError, match="cannot be loaded .*damaged or of another config"):
        checkpointer.load(str(file))


def test_an_average_with_sums_that_cannot_be_is_not_resumed(tmp_path):
    model = nn.ModuleDict({"statistics": GradientStatistics(2)})
    average = AveragedModel(model, use_buffers=True)
    checkpointer = EQLCheckpointer(model, str(tmp_path), model_ema=average, trainer=State())
    average.module["statistics"].pos_grad -= 1
    checkpointer.save("model_0000003")
    with pytest.raises(InputError, match="statistics.pos_grad of checkpoint .* negative values"):
        checkpointer.load(checkpointer.newest())


def test_an_average_that_is_not_finite_is_neither_saved_nor_loaded(file, tmp_path):
    model, average = pair()
    average.module.bias.data[0] = torch.nan
    checkpointer = EQLCheckpointer(model, str(tmp_path), model_ema=average, trainer=State())
    with pytest.raises(TrainingError, match="model_ema.module.bias holds NaN"):
        checkpointer.save("model_0000009")
    rewrite(file, lambda content: content["model_ema"]["module.bias"].fill_(torch.nan))
    with pytest.raises(InputError, match="bias of checkpoint .* holds NaN"):
        EQLCheckpointer(model).load(str(file))
    with pytest.raises(InputError, match="no whole checkpoint"):  # to resume from
        checkpointer.newest()
