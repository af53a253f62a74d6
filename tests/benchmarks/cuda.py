"""The losses on a GPU, beside what a user would use instead: ``make bench DEVICE=cuda``.

Times by events of the device, in turn; memory by PyTorch's allocator. Writes a JSON file beside the
table. In small the cases run on a CPU too: test_cuda.py.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from fvcore.nn import sigmoid_focal_loss_jit
from tabulate import tabulate
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from eql_d2 import EFL, EQLv2, SoftmaxEQL, add_eql_config
from eql_d2.losses.functional import backend

# Feature maps of P3 to P7 of images of 800 x 1344
LEVELS = ((100, 168), (50, 84), (25, 42), (13, 21), (7, 11))
ROUNDS, WARM_UP = 20, 3


def forms(loss: Callable, with_kernels: bool) -> dict[str, Callable]:
    """Our loss as kernels, dense, and dense as ``torch.compile`` fuses it."""

    def form(name: str, function: Callable) -> Callable:
        def call(*arguments):
            with backend(name):
                return function(*arguments)

        return call

    kernels = {"ours, kernels": form("kernels", loss)} if with_kernels else {}
    compiled = form("dense", torch.compile(loss, dynamic=False))
    return {**kernels, "ours, dense": form("dense", loss), "ours, dense compiled": compiled}


def one_hot(targets: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
    y = torch.zeros(len(targets), columns + 1, dtype=dtype, device=targets.device)
    return y.scatter_(1, targets[:, None], 1.0)[:, :columns]


def steps(losses: dict[str, Callable], logits: Sequence[Tensor]) -> dict[str, Callable]:
    """Functions that do a forward and a backward pass, and the floor: a copy of the logits."""

    def step(loss: Callable) -> None:
        for leaf in logits:
            leaf.grad = None
        loss().backward()

    copies = [torch.empty_like(leaf) for leaf in logits]

    def copy() -> None:
        for target, leaf in zip(copies, logits):
            target.copy_(leaf.detach())

    made = {name: lambda loss=loss: step(loss) for name, loss in losses.items()}
    return {**made, "floor: a copy of the logits": copy}


def efl_case(device, dtype, num_classes, num_images, levels, with_kernels) -> dict[str, Callable]:
    logits = [
        (torch.randn(num_images, 2 * num_classes, *level, device=device) - 5).to(dtype)
        for level in levels
    ]
    logits = [level.requires_grad_() for level in logits]
    anchors = 2 * sum(height * width for height, width in levels)
    targets = torch.full((num_images, anchors), num_classes, device=device)
    targets[:, ::300] = torch.randint(num_classes, targets[:, ::300].shape, device=device)
    loss = EFL(num_classes).to(device)
    losses = {name: lambda f=f: f(logits, targets) for name, f in forms(loss, with_kernels).items()}

    def focal(function: Callable) -> Tensor:  # as Detectron2: rows, one-hot
        rows = torch.cat(
            [
                x.view(len(x), 2, num_classes, -1).permute(0, 3, 1, 2).reshape(-1, num_classes)
                for x in logits
            ]
        )
        y = one_hot(targets.flatten(), num_classes, rows.dtype)
        return function(rows, y, alpha=0.25, gamma=2.0, reduction="sum") / 200

    losses["torchvision's focal loss"] = lambda: focal(sigmoid_focal_loss)
    losses["fvcore's focal loss, as Detectron2"] = lambda: focal(sigmoid_focal_loss_jit)
    return steps(losses, logits)


def rows_case(cls, device, dtype, shape, with_kernels) -> dict[str, Callable]:
    num_classes = shape[1] - (cls is EQLv2)
    logits = (torch.randn(shape, device=device) - 5).to(dtype).requires_grad_()
    targets = torch.randint(shape[1], (shape[0], *shape[2:]), device=device)
    loss = cls(num_classes).to(device)
    losses = {name: lambda f=f: f(logits, targets) for name, f in forms(loss, with_kernels).items()}
    losses["F.cross_entropy"] = lambda: F.cross_entropy(logits, targets)
    if cls is EQLv2:

        def sigmoid() -> Tensor:  # as Detectron2's box head
            y = one_hot(targets, num_classes, logits.dtype)
            return F.binary_cross_entropy_with_logits(logits[:, :-1], y, reduction="sum")

        losses["sigmoid cross entropy, as Detectron2"] = sigmoid
    return steps(losses, [logits])


def detector_case(config: str, theirs: dict[str, object], device, size, num_classes) -> dict:
    """A whole step of a detector with our loss, and with Detectron2's."""
    made = {}
    for name, changes in (("ours", {}), ("Detectron2's", theirs)):
        cfg = get_cfg()
        add_eql_config(cfg)
        cfg.merge_from_file(config)
        # No weights are at hand, and frozen statistics of a random network let it overflow.
        changes = {"MODEL.RESNETS.NORM": "BN", "MODEL.BACKBONE.FREEZE_AT": 0, **changes}
        changes.update({"MODEL.DEVICE": str(device), "MODEL.WEIGHTS": ""})
        cfg.merge_from_list([word for pair in changes.items() for word in pair])
        torch.manual_seed(0)
        model = build_model(cfg).train()
        height, width = size
        instances = Instances(size)
        corners = torch.rand(12, 2) * torch.tensor([width / 2, height / 2])
        instances.gt_boxes = Boxes(torch.cat([corners, corners + 0.1 * height + 8], dim=1))
        instances.gt_classes = torch.randint(num_classes, (12,))
        instances.gt_masks = BitMasks(torch.ones(12, height, width))
        batch = [{"image": 255 * torch.rand(3, height, width), "instances": instances}] * 2

        def step(model=model, batch=batch) -> None:
            model.zero_grad()
            with EventStorage():
                sum(model(batch).values()).backward()

        made[name] = step
    return made


def cases(device: torch.device, with_kernels: bool) -> Iterator[tuple[str, Callable]]:
    """Titles, and what makes the functions that are compared."""
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        yield (
            f"EFL, two anchors of two 800 x 1344 images, 1203 classes, {name}",
            lambda dtype=dtype: efl_case(device, dtype, 1203, 2, LEVELS, with_kernels),
        )
        for cls, shape in (
            (EQLv2, (1024, 1204)),
            (EQLv2, (8192, 1204)),
            (SoftmaxEQL, (65536, 1000)),
            (SoftmaxEQL, (4, 150, 512, 512)),
        ):
            yield (
                f"{cls.__name__}, {' x '.join(map(str, shape))}, {name}",
                lambda cls=cls, shape=shape, dtype=dtype: rows_case(
                    cls, device, dtype, shape, with_kernels
                ),
            )
    yield (
        "a step of Mask R-CNN R50-FPN, EQL v2 and softmax, 2 images of 800 x 1344",
        lambda: detector_case(
            "configs/LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2.yaml",
            {"MODEL.ROI_HEADS.NAME": "StandardROIHeads"},
            device,
            (800, 1344),
            1203,
        ),
    )
    yield (
        "a step of RetinaNet R50-FPN, EFL and Detectron2's focal loss, 2 images of 800 x 1344",
        lambda: detector_case(
            "configs/LVISv1-Detection/retinanet_R_50_FPN_1x_efl.yaml",
            {"MODEL.META_ARCHITECTURE": "RetinaNet"},
            device,
            (800, 1344),
            1203,
        ),
    )


def measure(functions: dict[str, Callable], device: torch.device, rounds: int) -> list[dict]:
    """Median milliseconds of each function, taken in turn, and bytes that it needs at its peak."""
    times, memory = {name: [] for name in functions}, {}
    on_gpu = device.type == "cuda"
    for i in range(WARM_UP + rounds):
        for name, function in functions.items():
            if on_gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                function()
                end.record()
                torch.cuda.synchronize()
                elapsed = begin.elapsed_time(end)
                memory[name] = torch.cuda.max_memory_allocated() - before
            else:
                start = time.perf_counter()
                function()
                elapsed = 1000 * (time.perf_counter() - start)
            if i >= WARM_UP:
                times[name].append(elapsed)
    return [
        {
            "name": name,
            "median_ms": statistics.median(values),
            "min_ms": min(values),
            "peak_bytes": memory.get(name),
        }
        for name, values in times.items()
    ]


def main(output: Path = Path("output/bench_cuda.json")) -> None:
    device = torch.device("cuda")
    found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cases": {}}
    print(f"{found['device']}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    for title, make in cases(device, with_kernels=True):
        torch.compiler.reset()  # or the last shapes and dtypes would be left uncompiled
        rows = measure(make(), device, ROUNDS)
        torch.cuda.empty_cache()
        found["cases"][title] = rows
        columns = [(r["median_ms"], r["min_ms"], r["peak_bytes"] / 2**20) for r in rows]
        table = [
            [row["name"], *map("{:.3f}".format, values[:2]), f"{values[2]:.0f}"]
            for row, values in zip(rows, columns)
        ]
        print(f"\n{title}")
        headers = ["", "median ms", "min ms", "peak MiB"]
        print(tabulate(table, headers, tablefmt="github", disable_numparse=True), flush=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(found, indent=1))  # what is measured stays if a case fails
    print(f"\n{output}")
