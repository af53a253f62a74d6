"""60 steps without a stop against 30 steps, a checkpoint, and 30 more in a new process."""

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog
from detectron2.utils.env import seed_all_rng

from eql_d2.data import DatasetMapper, register_json_instances
from eql_d2.engine import Trainer
from tests.conftest import as_retinanet


class SameBatchesTrainer(Trainer):
    """Step i always gets batch i and random numbers i: Detectron2 resumes neither."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.records = DatasetCatalog.get("tiny_train")
        self.mapper = DatasetMapper(cfg, is_train=True)
        self.losses = []

    def run_step(self):
        torch.manual_seed(self.iter)
        chosen = torch.randperm(len(self.records))[:2].tolist()
        batch = [self.mapper(self.records[i]) for i in chosen]
        self._trainer._data_loader_iter_obj = iter([batch])
        super().run_step()
        self.losses.append(self.storage.latest()["total_loss"][0])


def train(rank, cfg, stop, result_file):
    torch.set_num_threads(1)
    for dataset in cfg.DATASETS.JSON:
        register_json_instances(*dataset)
    seed_all_rng(cfg.SEED)
    trainer = SameBatchesTrainer(cfg)
    trainer.resume_or_load(resume=True)
    trainer.max_iter = stop
    trainer.train()
    state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    torch.save({"losses": trainer.losses, "state": state}, result_file)


def run(cfg, stop, result_file):
    mp.spawn(train, (cfg, stop, str(result_file)), nprocs=1)
    return torch.load(result_file)


@pytest.mark.parametrize("architecture", ["two-stage", "one-stage"])
@pytest.mark.slow
def test_resume_equals_the_uninterrupted_run_to_the_last_bit(tiny_cfg, tmp_path, architecture):
    statistics = "roi_heads.box_predictor.loss_cls.statistics.pos_grad"
    if architecture == "one-stage":
        as_retinanet(tiny_cfg)
        statistics = "loss_cls.statistics.pos_grad"
    tiny_cfg.SOLVER.MAX_ITER = 60
    tiny_cfg.SOLVER.STEPS = (20, 45)
    tiny_cfg.INPUT.RANDOM_FLIP = "none"
    tiny_cfg.DATASETS.TEST = ()
    whole, halves = tiny_cfg.clone(), tiny_cfg.clone()
    whole.OUTPUT_DIR, halves.OUTPUT_DIR = str(tmp_path / "whole"), str(tmp_path / "halves")
    expected = run(whole, 60, tmp_path / "whole.pt")
    first = run(halves, 30, tmp_path / "first.pt")
    second = run(halves, 60, tmp_path / "second.pt")
    assert len(first["losses"]) == len(second["losses"]) == 30
    assert first["losses"] + second["losses"] == expected["losses"]
    assert second["state"].keys() == expected["state"].keys()
    for name, value in expected["state"].items():
        assert torch.equal(second["state"][name], value), name
    assert expected["state"][statistics].sum() > first["state"][statistics].sum() > 0
