"""The LVIS-shaped world: its counts, that it is the same each time, and a study of it."""

import numpy as np
import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog

from eql_d2.demo.lvis_shaped import TRAIN, World, WorldSettings
from eql_d2.demo.lvis_shaped import __main__ as command
from eql_d2.demo.lvis_shaped.characterization import characterize
from eql_d2.demo.lvis_shaped.evaluation import average_precisions
from eql_d2.demo.lvis_shaped.order import kendall, published_pairs, read_runs
from eql_d2.demo.lvis_shaped.rois import RoISampler, TestImages
from eql_d2.engine import get_parser
from eql_d2.exceptions import InputError
from eql_d2.report.run import load_run
from eql_d2.study.plan import make_study
from eql_d2.study.results import STEP_SECONDS, metrics_of

CONFIG = "configs/Demo/Base-LVISShaped.yaml"
CLASSES = 30
FEDERATED = {
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": True,
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": True,
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": 10,
}
TINY = {
    "MODEL.ROI_HEADS.NUM_CLASSES": CLASSES,
    "SOLVER.IMS_PER_BATCH": 8,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.EQL.LOG_PERIOD": 10,
    "SOLVER.MAX_ITER": 20,
    "SOLVER.STEPS": "(15,)",
    "SOLVER.WARMUP_ITERS": 2,
    "DATALOADER.REPEAT_THRESHOLD": 0.01,
}


@pytest.fixture(scope="module")
def world():
    return World(WorldSettings(CLASSES, families=6))


@pytest.fixture(scope="module")
def lvis():
    """The counts need no looks: one dimension is quicker."""
    return World(WorldSettings(dimensions=1))


@pytest.fixture(scope="module")
def found(lvis):
    return characterize(lvis)


def test_has_the_counts_of_lvis(lvis, found):
    shown = np.bincount(lvis.category, minlength=1203)
    assert (shown == lvis.image_count).all() and lvis.num_images == 100_170
    assert [found[f"{group} classes"] for group in ("rare", "common", "frequent")] == [
        337,
        461,
        405,
    ]
    assert found["classes an image"] == pytest.approx(3.6, abs=0.01)


def test_exposure_is_that_of_lvis_within_a_tenth(found):
    of_groups = [found[f"exposure of {group}"] for group in ("rare", "common")]
    assert of_groups == pytest.approx([4.6, 1.6], rel=0.1)


def test_no_image_shows_a_class_twice(world):
    image = np.repeat(np.arange(world.num_images), np.diff(world.start))
    pairs = np.stack([image, world.category])
    assert np.unique(pairs, axis=1).shape == pairs.shape


def test_records_are_the_images_with_a_class(world):
    records = world.records()
    assert len(records) == world.num_images
    found = [a["category_id"] for record in records for a in record["annotations"]]
    assert found == world.category.tolist()
    assert TRAIN in DatasetCatalog


def test_sampled_rois_are_of_the_classes_of_their_image(world):
    image = int(np.argmax(np.diff(world.start)))
    rois = RoISampler(world, per_image=20, foreground=0.5, seed=1)([image])
    shown = world.category[world.start[image] : world.start[image + 1]]
    assert rois.features.shape == (20, 64) and rois.features.dtype == np.float32
    assert sorted(rois.labels[: len(shown)]) == shown.tolist()  # one RoI of each class
    assert (rois.labels[len(shown) :] == CLASSES).all()


def test_objects_look_the_same_when_their_image_is_repeated_and_rois_do_not(world):
    sample = RoISampler(world, per_image=8, foreground=1.0, seed=1)
    again = RoISampler(world, per_image=8, foreground=1.0, seed=1)
    image = int(np.flatnonzero(np.diff(world.start))[0])
    first, second = sample([image]), sample([image])
    assert np.array_equal(first.features, again([image]).features)
    assert not np.array_equal(first.features, second.features)


class _Oracle:
    """Gives the label of an RoI its score, and a rival what is left."""

    def __init__(self, score, rival=None):
        self.score, self.rival = score, rival

    def scores(self, rois):
        scores = torch.zeros(len(rois.labels), CLASSES + 1)
        scores[torch.arange(len(rois.labels)), torch.from_numpy(rois.labels)] = self.score
        if self.rival is not None:
            scores[:, self.rival] += 0.5
        return scores[:, :CLASSES]


def test_every_class_has_its_share_of_test_images(world):
    images = TestImages(world, per_class=2, background=4, negatives=10)
    found = np.zeros(CLASSES, int)
    for _, rois in images.batches(16):
        found += np.bincount(rois.labels, minlength=CLASSES + 1)[:CLASSES]
    assert (found >= 2).all()
    negatives = images.evaluated.sum(0) - found
    assert negatives.mean() == pytest.approx(10, abs=4)


def test_perfect_scores_are_perfect_and_a_rival_takes_places_of_the_few_detections(world):
    images = TestImages(world, per_class=2, background=4, negatives=10)
    assert average_precisions(_Oracle(1.0), images, most=48) == pytest.approx(100)
    # The rival's scores of 0.5 on all RoIs leave no place for labels at 0.4
    crowded = average_precisions(_Oracle(0.4, rival=0), images, most=1)
    assert crowded[1:].max() < 100 and crowded[1:].mean() < 20


def test_a_trial_leaves_the_same_numbers_each_time_as_studies_and_reports_read_them(tmp_path):
    content = {
        "output": str(tmp_path),
        "seeds": [1],
        "module": "eql_d2.demo.lvis_shaped",
        "config": CONFIG,
        "overrides": TINY | {"MODEL.EQL.LOSS": "EQLv2"},
        "runs": {"first": {}, "again": {}},
    }
    trials = make_study(content, "tiny").trials
    for trial in trials:
        assert trial.command[3:5] == ("-m", "eql_d2.demo.lvis_shaped")
        command.run(get_parser().parse_args(trial.command[5:]))
    first, again = (metrics_of(trial.folder) for trial in trials)
    assert {"bbox/AP", "bbox/APr", "bbox/APc", "bbox/APf", "gradient_ratio/rare"} <= first.keys()
    assert first.pop(STEP_SECONDS) > 0 and again.pop(STEP_SECONDS) > 0
    assert first == again
    found = load_run(trials[0].folder)
    assert not found.problems and len(found.tables["bbox"]) == CLASSES and found.record is not None


@pytest.mark.parametrize(
    "overrides",
    [
        FEDERATED,
        {"DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler", "MODEL.EQL.LOSS": "EQL"},
    ],
    ids=["federated", "repeat factors"],
)
def test_trains_with(overrides, tmp_path):
    command.run(arguments(tmp_path, overrides | {"SOLVER.MAX_ITER": 2, "SOLVER.STEPS": "()"}))
    assert yaml.safe_load((tmp_path / "inference/evaluation.json").read_text())["num_tested"] == 30


def test_refuses_an_evaluation_alone(tmp_path):
    args = arguments(tmp_path, {})
    args.eval_only = True
    with pytest.raises(InputError, match="leave out --eval-only"):
        command.run(args)


def arguments(folder, overrides):
    settings = {**TINY, **overrides, "OUTPUT_DIR": str(folder)}
    words = [str(word) for pair in settings.items() for word in pair]
    return get_parser().parse_args(["--config-file", CONFIG, *words])


def test_order_is_counted_over_pairs_of_one_table():
    pairs = published_pairs()
    assert len(pairs) == 17 and pairs["softmax", "eql"] == pytest.approx(2.5)
    assert ("seesaw", "eqlv2") not in pairs and ("eqlv2", "seesaw") not in pairs
    as_published = {"softmax": 1, "sigmoid": 2, "eql": 3, "softmax_rfs": 4, "eqlv2": 5}
    assert kendall(as_published) == (1, [])
    tau, turned = kendall(as_published | {"eql": 1.5})  # below the sigmoid
    assert turned == [("sigmoid", "eql")] and tau == pytest.approx(1 - 2 / 8)


def test_runs_of_a_study_are_read_as_those_of_the_book(tmp_path):
    (tmp_path / "a.csv").write_text("run,bbox/AP,bbox/APr,bbox/APc,bbox/APf\na,1,2,3,4\nb,,,,\n")
    (tmp_path / "b.csv").write_text("run,AP,APr,APc,APf\na,1,2,3,4\n")
    for name in ("a.csv", "b.csv"):
        runs = read_runs(tmp_path / name)
        assert list(runs) == ["a"] and runs["a"].tolist() == [[1, 2, 3, 4]]
