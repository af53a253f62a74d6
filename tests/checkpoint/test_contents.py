"""Files of another model, and values that cannot be."""

import pytest
import torch
from torch import nn

from eql_d2 import GradientStatistics, InputError
from eql_d2.checkpoint import EQLCheckpointer


class Detector(nn.Module):
    """8 tensors in the backbone, 4 in the head; statistics besides."""

    def __init__(self, width=3, backbone="backbone"):
        super().__init__()
        layers = [nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width)) for _ in range(2)]
        setattr(self, backbone, nn.Sequential(*layers))
        self.head = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
        self.statistics = GradientStatistics(5)


class Training:
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@pytest.fixture
def load(tmp_path):
    def load(model, state, evaluates=True):
        torch.save({"model": state}, tmp_path / "model.pth")
        training = {} if evaluates else {"trainer": Training()}
        EQLCheckpointer(model, **training).load(str(tmp_path / "model.pth"), checkpointables=[])

    return load


def part(state, *starts):
    return {name: value for name, value in state.items() if name.startswith(starts)}


@pytest.mark.parametrize("evaluates", [True, False])
@pytest.mark.parametrize(
    "state",
    [
        {},
        Detector(width=4).state_dict(),  # each shape differs
        Detector(backbone="body").state_dict(),
        part(Detector().state_dict(), "statistics"),
        part(Detector().state_dict(), "head.0"),
    ],
    ids=["empty", "shapes", "names", "statistics", "little"],
)
def test_a_file_of_another_model_is_refused(load, state, evaluates):
    with pytest.raises(InputError, match="is of another model: only .* tensors") as error:
        load(Detector(), state, evaluates)
    assert "\n" not in str(error.value) and "lacks backbone.* (" in str(error.value)
    assert ("backbone tensors" in str(error.value)) is not evaluates


def test_the_message_says_what_the_file_holds(load):
    found = r"It holds body\.\* \(14\) that the model lacks, and lacks backbone\.\* \(12\): check"
    with pytest.raises(InputError, match=rf"only 4 of 12 tensors of this Detector .*{found}"):
        load(Detector(), Detector(backbone="body").state_dict())


def test_a_backbone_is_enough_to_train_and_not_to_evaluate(load):
    state = part(Detector().state_dict(), "backbone.0")  # half of it
    load(Detector(), state, evaluates=False)
    with pytest.raises(InputError, match="only 4 of 12 tensors"):
        load(Detector(), state)
    head = part(Detector().state_dict(), "backbone.0", "head.0")
    load(Detector(), head)
    # files of ImageNet weights may have no running statistics
    bare = {name: value for name, value in state.items() if "running" not in name}
    load(Detector(), bare, evaluates=False)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite_are_refused(load, value):
    for name in ("backbone.1.0.weight", "backbone.0.1.running_mean", "statistics.neg_grad"):
        state = Detector().state_dict()
        state[name].view(-1)[2] = value
        with pytest.raises(InputError, match=f"^{name} of checkpoint .*model.pth' holds NaN"):
            load(Detector(), state)


@pytest.mark.parametrize(
    "name", ["statistics.pos_grad", "statistics.neg_grad", "backbone.0.1.running_var"]
)
def test_negative_statistics_are_refused(load, name):
    state = Detector().state_dict()
    state[name][1] = -1e-3
    with pytest.raises(InputError, match=f"^{name} of checkpoint .*model.pth' holds negative"):
        load(Detector(), state)


@pytest.mark.parametrize(
    "content", [[], 3, {"model": 3}, {"model": {"head.weight": "text"}}, torch.ones(3)]
)
def test_what_is_no_state_dict_is_one_line(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(InputError, match="model.pth'") as error:
        EQLCheckpointer(Detector()).load(str(tmp_path / "model.pth"))
    assert "\n" not in str(error.value)


def test_a_tensor_without_values_is_refused(load):
    state = Detector().state_dict()
    state["backbone.1.0.weight"] = state["backbone.1.0.weight"].to("meta")
    with pytest.raises(InputError, match="or no values"):
        load(Detector(), state)


def test_a_file_of_detectron2_with_flipped_bits_is_refused(tmp_path):
    """PyTorch writes checksums into a file and does not look at them."""
    path = tmp_path / "model.pth"
    torch.save({"model": Detector().state_dict()}, path)
    EQLCheckpointer(Detector()).load(str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(InputError, match="does not agree with the checksums that PyTorch wrote"):
        EQLCheckpointer(Detector()).load(str(path))


def test_a_file_whose_directory_is_damaged_is_one_line(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": Detector().state_dict()}, path)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x01\x02")
    for place in range(end, min(end + 60, len(content) - 30)):
        damaged = content.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            EQLCheckpointer(Detector()).load(str(path))
        except InputError as error:
            assert "\n" not in str(error)


def test_a_file_without_checksums_is_loaded(tmp_path):
    torch.serialization.set_crc32_options(False)
    torch.save({"model": Detector().state_dict()}, tmp_path / "model.pth")
    torch.serialization.set_crc32_options(True)
    EQLCheckpointer(Detector()).load(str(tmp_path / "model.pth"))


def test_a_file_with_a_wrong_checksum_is_refused(tmp_path):
    EQLCheckpointer(Detector(), str(tmp_path)).save("model")
    content = bytearray((tmp_path / "model.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(InputError, match="does not agree with its checksum model.pth.sha256"):
        EQLCheckpointer(Detector()).load(str(tmp_path / "model.pth"))
