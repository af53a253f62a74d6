"""Runs of ``train_net.py`` inside this process, on a model and data as small as they can be."""

import atexit
import contextlib
import functools
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import SimpleTrainer
from detectron2.utils.env import seed_all_rng

from eql_d2 import add_eql_config
from eql_d2.engine import get_parser, train_net
from tests.conftest import TINY, as_retinanet, make_annotations
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import as_semantic_fpn, make_mask_folder

# The run of every case, unless it says otherwise: two steps, then an evaluation
_SHORT = {"SOLVER.MAX_ITER": 2, "MODEL.EQL.LOG_PERIOD": 1, "VERSION": 2}


class LateFailure(Exception):
    """A run failed after its first step for what its start could have seen."""


@functools.cache
def workspace() -> Path:
    """Folder with data of three tasks and a config for each of four kinds of model."""
    folder = Path(tempfile.mkdtemp(prefix="eql_d2_fuzz_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for split, seed, num_images in (("train", 0, 4), ("val", 1, 2)):
        (folder / split).mkdir()
        content = make_annotations(folder / split, num_images, seed)
        (folder / f"{split}.json").write_text(json.dumps(content))
        make_class_folders(folder / f"classes_{split}", [2, 2, 2])
        make_mask_folder(folder / f"scenes_{split}", num_images, seed=seed)
    for task, cfg in _configs(folder).items():
        cfg.OUTPUT_DIR = str(folder / "output")
        (folder / f"{task}.yaml").write_text(cfg.dump())
    (folder / "lazy.py").write_text(_lazy_config(folder))
    return folder


_LAZY = Path(__file__).parents[2] / "configs/quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py"
LAZY_NODES = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
_SPLITS = ("train", "val")
TASKS = ("twostage", "onestage", "segmentation", "classification")


def _configs(folder: Path) -> dict:
    cfgs = {}
    for task in TASKS:
        cfg = cfgs[task] = get_cfg()
        add_eql_config(cfg)
        cfg.merge_from_list([word for line in TINY.split("\n") for word in line.split()])
        cfg.merge_from_list([word for pair in _SHORT.items() for word in pair])
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("fuzz_train",), ("fuzz_val",)
        entries = [(f"fuzz_{s}", str(folder / f"{s}.json"), str(folder / s)) for s in _SPLITS]
        cfg.DATASETS.JSON = entries if task.endswith("stage") else ()
    as_retinanet(cfgs["onestage"])
    as_semantic_fpn(cfgs["segmentation"])
    cfgs["segmentation"].DATASETS.MASK_FOLDERS = [
        (
            f"fuzz_{s}",
            *(str(folder / f"scenes_{s}" / n) for n in ("images", "masks", "classes.txt")),
        )
        for s in _SPLITS
    ]
    cfgs["classification"].merge_from_list(
        [
            *("MODEL.META_ARCHITECTURE", "ImageClassifier", "MODEL.EQL.LOSS", "SoftmaxEQL"),
            *("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.MASK_ON", False),
            *("MODEL.RESNETS.OUT_FEATURES", ["res5"], "MODEL.CLASSIFIER.NUM_CLASSES", 3),
            *("INPUT.CLASSIFICATION.CROP_SIZE", 32, "INPUT.CLASSIFICATION.RESIZE_TEST", 36),
            *("DATALOADER.ASPECT_RATIO_GROUPING", False, "SOLVER.IMS_PER_BATCH", 4),
        ]
    )
    cfgs["classification"].DATASETS.CLASS_FOLDERS = [
        (f"fuzz_{s}", str(folder / f"classes_{s}")) for s in _SPLITS
    ]
    return cfgs


def _lazy_config(folder: Path) -> str:
    return "\n".join(
        [
            "from detectron2.config import LazyConfig",
            f"cfg = LazyConfig.load({str(_LAZY)!r})",
            *(f"{name} = cfg.{name}" for name in LAZY_NODES),
            f"train.update(max_iter=2, output_dir={str(folder / 'output')!r}, init_checkpoint='')",
            "dataloader.train.update(total_batch_size=2, num_workers=0)",
            "dataloader.train.dataset.names = 'fuzz_train'",
            "dataloader.test.dataset.names, dataloader.test.num_workers = 'fuzz_val', 0",
            "dataloader.train.mapper.augmentations[0].short_edge_length = [64]",
            "dataloader.test.mapper.augmentations[0].short_edge_length = 64",
            "model.roi_heads.num_classes = 5",
            "del cfg",
        ]
    )


def data_options() -> list[str]:
    """Options that register the data of a LazyConfig."""
    return [
        word
        for split in ("train", "val")
        for word in (
            *("--dataset", f"fuzz_{split}"),
            *(str(workspace() / f"{split}.json"), str(workspace() / split)),
        )
    ]


def run(*words: str) -> None:
    """``train_net.py`` with these words on its command line.

    Raises:
        LateFailure: it ended with an error after it had begun to train.
    """
    steps = []
    step = SimpleTrainer.run_step

    def counted(trainer):
        step(trainer)
        steps.append(trainer.iter)

    with _quiet(), _left_as_it_was(), mock.patch.object(SimpleTrainer, "run_step", counted):
        try:
            train_net.main(get_parser().parse_args(words))
        except BaseException as error:
            if steps:
                raise LateFailure(f"after {len(steps)} steps: {error!r}") from error
            raise


@functools.cache
def trained_checkpoint() -> bytes:
    """What a training of the two-stage model saves after a step."""
    words = ("--config-file", str(workspace() / "twostage.yaml"), "SOLVER.MAX_ITER", "1")
    with _quiet(), _left_as_it_was():
        train_net.main(get_parser().parse_args(words))
        return (workspace() / "output/model_final.pth").read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what takes a second and what is printed."""
    with (
        mock.patch.object(train_net, "start_run", lambda cfg, output_dir, args: seed_all_rng(7)),
        mock.patch("eql_d2.engine.hooks.write_report", lambda folders: ""),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        before = logging.root.manager.disable
        logging.disable()
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Without data sets and files that a run leaves."""
    before = set(DatasetCatalog.list())
    try:
        yield
    finally:
        for name in set(DatasetCatalog.list()) - before:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        shutil.rmtree(workspace() / "output", ignore_errors=True)
