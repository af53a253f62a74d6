import json
import logging
import types

import numpy as np
import pytest
import torch
from detectron2.engine import TrainerBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, JSONWriter
from torch import nn

from eql_d2 import EFL, EQLv2, InputError
from eql_d2.engine.hooks import GradientRatioHook, ReportHook
from eql_d2.gradient_record import GradientRecord, read_record
from eql_d2.losses import GradientStatistics, SoftmaxCE


def categories(groups="rcff"):
    return [
        {"name": f"c{i}", "group": group, "image_count": i, "instance_count": None}
        for i, group in enumerate(groups)
    ]


def started(model, folder, groups="rcff", start_iter=0):
    hook = GradientRatioHook(10, folder, categories(groups))
    hook.trainer = types.SimpleNamespace(model=model, start_iter=start_iter, max_iter=10**6)
    hook.before_train()
    return hook


def log(hook, iteration):
    """What a step logs: the latest scalars, and the histograms."""
    hook.trainer.iter = iteration - 1
    with EventStorage(iteration) as storage:
        hook.after_step()
        return {name: value for name, (value, _) in storage.latest().items()}, storage._histograms


@pytest.fixture
def warnings():
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("eql_d2").addHandler(handler)
    yield lines
    logging.getLogger("eql_d2").removeHandler(handler)


@pytest.fixture
def eqlv2():
    model = nn.ModuleDict({"loss": EQLv2(4)})
    model["loss"].statistics.update(torch.tensor([0.0, 1, 2, 9]), torch.tensor([5.0, 2, 4, 3]))
    return model


def test_scalars_of_groups_and_of_the_whole(eqlv2, tmp_path):
    scalars, _ = log(started(eqlv2, tmp_path), 10)
    ratio = {"rare": 0, "common": 0.5, "frequent": 0.75, "all": 0.5}
    ratio |= {"starving": 0.25, "balanced": 0.25, "variation": np.std([0, 0.5, 0.5, 1]) / 0.5}
    expected = {f"gradient_ratio/{name}": value for name, value in ratio.items()}
    for kind, weight in zip(("positive_weight", "negative_weight"), eqlv2["loss"].class_weights()):
        rare, common, *frequent = weight.tolist()
        means = {"rare": rare, "common": common, "frequent": np.mean(frequent)}
        means["all"] = weight.mean().item()
        expected |= {f"{kind}/{name}": value for name, value in means.items()}
    assert scalars == pytest.approx(expected)
    assert scalars["positive_weight/rare"] > 4.9 and scalars["negative_weight/rare"] < 0.1


def test_a_group_without_categories_has_no_scalar_and_no_warning(eqlv2, tmp_path):
    with np.errstate(all="raise"):
        scalars, _ = log(started(eqlv2, tmp_path, groups="rrff"), 10)
    assert "gradient_ratio/rare" in scalars and "gradient_ratio/common" not in scalars


def test_categories_without_an_image_starve_nowhere(eqlv2, tmp_path):
    """Their ratio is 0 for ever: each made the rare group and `starving` worse than they are."""
    scalars, _ = log(started(eqlv2, tmp_path, groups="0cff"), 10)
    ratio = {"common": 0.5, "frequent": 0.75, "all": 2 / 3, "without_an_image": 0}
    ratio |= {"starving": 0, "balanced": 1 / 3, "variation": np.std([0.5, 0.5, 1]) * 1.5}
    found = {name: value for name, value in scalars.items() if name.startswith("gradient_ratio/")}
    assert found == pytest.approx({f"gradient_ratio/{name}": x for name, x in ratio.items()})
    log(started(eqlv2, tmp_path, groups="0000"), 10)  # nothing is annotated


def test_b_open_images_has_the_five_groups_of_its_evaluator(eqlv2, tmp_path):
    scalars, _ = log(started(eqlv2, tmp_path, groups="1155"), 10)
    found = {name: value for name, value in scalars.items() if "ratio/group" in name}
    assert found == pytest.approx(
        {"gradient_ratio/group_1_of_5": 0.25, "gradient_ratio/group_5_of_5": 0.75}
    )
    assert "gradient_ratio/rare" not in scalars


def test_losses_are_told_apart_by_path_with_and_without_ddp(tmp_path):
    heads = nn.ModuleList([nn.ModuleDict({"loss_cls": EFL(4)}) for _ in range(3)])
    heads[1]["loss_cls"].statistics.update(torch.ones(4), 4 * torch.ones(4))
    model = nn.ModuleDict({"heads": heads})
    for wrapped in (model, nn.ModuleDict({"module": model})):
        scalars, _ = log(started(wrapped, tmp_path), 10)
        found = [scalars[f"heads.{i}.loss_cls/gradient_ratio/all"] for i in range(3)]
        assert found == pytest.approx([1, 0.25, 1])
        assert [*read_record(tmp_path).losses] == [f"heads.{i}.loss_cls" for i in range(3)]


def test_a_baseline_has_ratios_but_no_weights_and_no_warning(tmp_path, warnings):
    model = nn.ModuleDict({"loss": SoftmaxCE(4)})
    model["loss"].statistics = GradientStatistics(4)
    scalars, _ = log(started(model, tmp_path), 2000)
    assert scalars["gradient_ratio/balanced"] == 1
    assert not any("weight" in name for name in scalars) and not warnings


def test_histogram_is_clipped_finite_and_left_out_where_constant(eqlv2, tmp_path):
    hook = started(eqlv2, tmp_path)
    eqlv2["loss"].statistics.pos_grad[2:] = torch.tensor([float("nan"), 1e9])
    _, (histogram,) = log(hook, 10)
    assert histogram["tag"] == "gradient_ratio/histogram"
    assert histogram["num"] == sum(histogram["bucket_counts"]) == 3
    assert (histogram["min"], histogram["max"]) == (0, 2)
    eqlv2["loss"].statistics.reset()
    _, histograms = log(hook, 20)
    assert not histograms


def test_each_log_is_a_row_and_nothing_else_costs(eqlv2, tmp_path):
    hook = started(eqlv2, tmp_path)
    hook.trainer.max_iter = 25
    statistics = eqlv2["loss"].statistics
    for iteration in range(1, 26):
        due = iteration in (10, 20, 25)
        if not due:  # not touched, so no device is waited for
            hook._losses["loss"] = None
        assert bool(log(hook, iteration)[0]) == due
        hook._losses["loss"] = eqlv2["loss"]
    record = read_record(tmp_path)
    assert record.iterations.tolist() == [10, 20, 25]
    pos_grad, neg_grad, ratio = (array[-1] for array in record.losses["loss"])
    np.testing.assert_array_equal(pos_grad, statistics.pos_grad.float())
    np.testing.assert_array_equal(neg_grad, statistics.neg_grad.float())
    np.testing.assert_array_equal(ratio, statistics.ratio().float())
    assert record.categories == categories()


def test_resume_adds_the_row_that_a_kill_after_the_checkpoint_lost(eqlv2, tmp_path):
    log(started(eqlv2, tmp_path), 10)
    started(eqlv2, tmp_path, start_iter=15)
    assert read_record(tmp_path).iterations.tolist() == [10]
    started(eqlv2, tmp_path, start_iter=20)
    assert read_record(tmp_path).iterations.tolist() == [10, 20]


def test_only_the_main_process_logs(eqlv2, tmp_path, monkeypatch):
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert log(started(eqlv2, tmp_path), 10) == ({}, [])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_warned_of_once_and_training_goes_on(eqlv2, tmp_path, warnings, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    hook = started(eqlv2, tmp_path)
    monkeypatch.setattr(GradientRecord, "append", full)
    assert log(hook, 10)[0] and log(hook, 20)[0]
    assert len(warnings) == 1 and "No space left on device" in warnings[0]


def test_losses_of_another_number_of_classes_are_left_out(tmp_path, warnings):
    hook = started(nn.ModuleDict({"things": EFL(4), "stuff": EFL(54)}), tmp_path)
    log(hook, 10)
    assert [*read_record(tmp_path).losses] == ["things"]
    assert len(warnings) == 1 and "stuff has 54 classes, the training data 4" in warnings[0]


def test_t11_a_ratio_stuck_at_one_is_warned_of_once(tmp_path, warnings):
    model = nn.ModuleDict({"loss": EFL(4)})
    hook = started(model, tmp_path)
    model["loss"].statistics.update(torch.full((4,), 3.0), torch.ones(4))
    log(hook, 10)
    assert not warnings
    log(hook, 2000)
    log(hook, 2010)
    assert len(warnings) == 1 and "loss: 100% of the categories" in warnings[0]


def test_period_below_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="period of GradientRatioHook is 0"):
        GradientRatioHook(0, tmp_path, categories())


class Trainer(TrainerBase):
    """Steps that do nothing, or fail at one of them."""

    def __init__(self, hook_list, fail_at=None):
        super().__init__()
        self.fail_at = fail_at
        self.register_hooks(hook_list)

    def run_step(self):
        if self.iter == self.fail_at:
            raise FloatingPointError


@pytest.fixture
def pages(monkeypatch):
    """Stands for the page: what metrics.json had when it was written."""
    found = []

    def write_report(folders):
        (folder,) = folders
        found.append((folder / "metrics.json").read_text())
        return folder / "report.html"

    monkeypatch.setattr("eql_d2.engine.hooks.write_report", write_report)
    return found


def test_report_is_written_after_the_final_evaluation(tmp_path, pages):
    evaluation = hooks.EvalHook(0, lambda: {"bbox": {"AP": 12.5}})
    writer = hooks.PeriodicWriter([JSONWriter(str(tmp_path / "metrics.json"))])
    Trainer([evaluation, writer, ReportHook(tmp_path)]).train(0, 3)
    (metrics,) = pages
    assert json.loads(metrics.splitlines()[-1])["bbox/AP"] == 12.5


@pytest.mark.parametrize("fail_at", [0, 2])
def test_no_report_of_a_training_that_failed(tmp_path, pages, fail_at):
    with pytest.raises(FloatingPointError):
        Trainer([ReportHook(tmp_path)], fail_at).train(0, 3)
    assert not pages


def test_a_report_that_fails_is_one_warning(tmp_path, pages, warnings):
    Trainer([ReportHook(tmp_path)]).train(0, 3)  # the stand-in finds no metrics.json
    assert len(warnings) == 1 and warnings[0].startswith("No report of this training: FileNotFound")
