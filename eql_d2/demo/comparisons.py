"""What the demo compares: two trainings for each task."""

from typing import NamedTuple


class Task(NamedTuple):
    """Two trainings to compare, and where their results are.

    Attributes:
        runs: Baseline and equalized training: end of the config's name, and name in the table.
        dataset: Start of the configs' names, and name of the generated data set.
        iters: Training steps that show the effect: ``SOLVER.MAX_ITER`` of the configs.
        minutes: All in all, measured on 2 cores.
        metric: What the numbers are, for the table and the figure.
        groups: Key in ``metrics.json`` and label, with a line for its threshold in the figure.
        categories: File of the numbers of each category, and its key for the number.
        chapter: Of docs/own_data.md, about the task.
    """

    runs: dict[str, str]
    dataset: str
    iters: int
    minutes: int
    metric: str
    groups: dict[str, str]
    categories: tuple[str, str]
    chapter: str


TWO_STAGE = Task(
    runs={"softmax": "softmax cross entropy", "eqlv2": "EQL v2"},
    dataset="glyphs",
    iters=1600,
    minutes=8,
    metric="box AP",
    groups={
        "bbox/AP": "all",
        "bbox/APr": "rare\n(≤ 10 images)",
        "bbox/APc": "common\n(≤ 100)",
        "bbox/APf": "frequent",
    },
    categories=("per_category_bbox.json", "AP"),
    chapter="Boxes: COCO or LVIS format",
)
TASKS = {
    "twostage": TWO_STAGE,
    "onestage": TWO_STAGE._replace(runs={"focal": "focal loss", "efl": "EFL"}, minutes=11),
    "yolox": TWO_STAGE._replace(runs={"qfl": "quality focal loss", "eqfl": "EQFL"}, minutes=13),
    "classification": Task(
        runs={"softmax": "softmax cross entropy", "softmax_eql": "Softmax-EQL"},
        dataset="glyph_crops",
        iters=2400,
        minutes=3,
        metric="accuracy",
        groups={
            "classification/top1": "top-1",
            "classification/few": "few\n(< 20 images)",
            "classification/medium": "medium\n(≤ 100)",
            "classification/many": "many",
        },
        categories=("per_category_classification.json", "accuracy"),
        chapter="Classes: one folder of images for each",
    ),
    "segmentation": Task(
        runs={"softmax": "softmax cross entropy", "softmax_eql": "Softmax-EQL"},
        dataset="glyph_maps",
        iters=1200,
        minutes=5,
        metric="IoU",
        groups={
            "sem_seg/mIoU": "mIoU",
            "sem_seg/mIoU_tail": "tail\n(≤ 10 images)",
            "sem_seg/mIoU_common": "common\n(≤ 100)",
            "sem_seg/mIoU_head": "head",
        },
        categories=("per_category_sem_seg.json", "IoU"),
        chapter="Label maps: segmentation",
    ),
}
