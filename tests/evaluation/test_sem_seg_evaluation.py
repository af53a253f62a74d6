import base64
import io
import json

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import category_table, register_mask_folder
from eql_d2.distributed import end_process_group
from eql_d2.evaluation import SemSegEvaluator, build_evaluator
from eql_d2.evaluation.example_images import read_example_images
from tests.data.label_map_folders import CLASSES, make_mask_folder

from .training_categories import trained_on

C = len(CLASSES)
pytestmark = pytest.mark.usefixtures("no_datasets_left")


def predictions(records):
    """Random logits for each image."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(C, 64, 96, generator=generator) for _ in records]


def process(evaluator, records, outputs):
    evaluator.reset()
    for record, output in zip(records, outputs):
        evaluator.process([{"file_name": record["file_name"]}], [{"sem_seg": output}])


def brute_force_iou(records, outputs):
    intersection, union = np.zeros(C), np.zeros(C)
    for record, output in zip(records, outputs):
        truth, found = np.array(Image.open(record["sem_seg_file_name"])), output.argmax(0).numpy()
        for k in range(C):
            known = truth != 255
            intersection[k] += ((truth == k) & (found == k)).sum()
            union[k] += (((truth == k) | (found == k)) & known).sum()
    return 100 * intersection / union


def test_miou_by_group_equals_a_brute_force(tmp_path):
    register_mask_folder("scenes", *make_mask_folder(tmp_path / "scenes"))
    records = DatasetCatalog.get("scenes")
    outputs = predictions(records)
    evaluator = build_evaluator("scenes", str(tmp_path / "out"), training_datasets="scenes")
    process(evaluator, records, outputs)
    results = evaluator.evaluate()["sem_seg"]
    iou = brute_force_iou(records, outputs)
    groups = np.array(category_table("scenes").groups.groups)
    assert results["mIoU"] == pytest.approx(iou.mean())
    for group, name in (("f", "head"), ("c", "common"), ("r", "tail")):
        assert results[f"mIoU_{name}"] == pytest.approx(iou[groups == group].mean())
    table = json.loads((tmp_path / "out/per_category_sem_seg.json").read_text())
    assert [row["IoU"] for row in table] == pytest.approx(iou.tolist())
    assert [row["name"] for row in table] == CLASSES
    assert [row["group"] for row in table] == groups.tolist()
    assert not (tmp_path / "out/sem_seg_predictions.json").exists()

    chosen, images = read_example_images(tmp_path / "out/examples_sem_seg.json")
    found = {record["file_name"]: output.argmax(0) for record, output in zip(records, outputs)}
    truth = {r["file_name"]: np.array(Image.open(r["sem_seg_file_name"])) for r in records}
    for k in range(C):
        shares = {name: (labels == k).mean() for name, labels in sorted(truth.items())}
        assert chosen[k] == max(shares, key=shares.get)  # the first of several
        for key, expected in (("truth", truth), ("prediction", found)):
            image = Image.open(io.BytesIO(base64.b64decode(images[chosen[k]][key])))
            labels = np.array(expected[chosen[k]])
            np.testing.assert_array_equal(image, np.where(labels == 255, C, labels))


def test_evaluation_needs_no_training_data_then_without_groups(tmp_path, caplog):
    register_mask_folder("scenes", *make_mask_folder(tmp_path / "scenes"))
    records = DatasetCatalog.get("scenes")
    evaluator = build_evaluator("scenes", None)
    process(evaluator, records, predictions(records))
    with caplog.at_level("INFO"):
        results = evaluator.evaluate()["sem_seg"]
    assert "mIoU_tail" not in results and "No mIoU by group" in caplog.text


def test_unknown_label_in_the_truth_is_named(tmp_path):
    register_mask_folder("scenes", *make_mask_folder(tmp_path / "scenes"))
    records = DatasetCatalog.get("scenes")
    Image.new("L", (96, 64), 9).save(records[0]["sem_seg_file_name"])
    with pytest.raises(InputError, match="has label 9 but there are 5 classes"):
        process(SemSegEvaluator("scenes"), records, predictions(records))


def test_groups_of_other_classes_are_refused(tmp_path):
    register_mask_folder("scenes", *make_mask_folder(tmp_path / "scenes"))
    with pytest.raises(InputError, match="training data have 4 categories for 5 classes"):
        SemSegEvaluator("scenes", training_categories=trained_on("rrcf"))


def evaluate_half(rank, folders, port_file, result_file):
    cv2.setNumThreads(0)  # as train_net.py: OpenCV 5 may abort a process that ends with threads
    dist.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=2)
    register_mask_folder("scenes", *folders)
    records = DatasetCatalog.get("scenes")
    evaluator = build_evaluator("scenes", None, training_datasets="scenes")
    process(evaluator, records[rank::2], predictions(records)[rank::2])
    results = evaluator.evaluate()
    assert (results is None) == (rank == 1)
    if rank == 0:
        torch.save(dict(results["sem_seg"]), result_file)
    dist.barrier()
    end_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    folders = make_mask_folder(tmp_path / "scenes")
    result_file = f"{tmp_path}/result"
    mp.spawn(evaluate_half, (folders, tmp_path / "store", result_file), nprocs=2)
    register_mask_folder("scenes", *folders)
    records = DatasetCatalog.get("scenes")
    evaluator = build_evaluator("scenes", None, training_datasets="scenes")
    process(evaluator, records, predictions(records))
    expected = dict(evaluator.evaluate()["sem_seg"])
    found = torch.load(result_file, weights_only=False)
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx(list(expected.values()), nan_ok=True)
