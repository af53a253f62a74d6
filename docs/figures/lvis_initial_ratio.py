"""Figure of docs/prior.md: with which gradient ratio the classes of LVIS v1 begin.

    python docs/figures/lvis_initial_ratio.py

The images of each class are Detectron2's own counts; an image is taken to show one instance of a
class (a rare one rarely shows more). Anchors of an image and positives of an instance were counted
on 117 COCO photographs, whose boxes are as large as those of LVIS, with
``python -m eql_d2.report --data ... --config-file ...``.
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

from eql_d2.losses.functional import initial_ratio

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NUM_IMAGES, REPEAT_THRESHOLD, PRIOR = 100_170, 0.001, 0.001
# Recipe: anchors that are not ignored, positives of an instance, images that are mixed with one and
# do not follow the repeat factors, whether these are rounded up, and gamma, alpha, quality of the
# loss. Of YOLOX-IP with its mosaic and mixup, where an instance is that of one of the five images.
RECIPES = {
    "RetinaNet R50, EFL": (145_045, 20.8, 0, False, 2.0, 0.25, None),
    "improved baseline, EFL": (34_625, 17.1, 0, True, 2.0, 0.25, None),
    "YOLOX-IP, EQFL": (16_640, 3.64, 4, True, 2.0, -1.0, 0.456),
}


def main() -> None:
    images = np.array([entry["image_count"] for entry in LVIS_CATEGORY_IMAGE_COUNT])
    repeats = np.maximum(1, np.sqrt(REPEAT_THRESHOLD / (images / NUM_IMAGES)))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    groups = {"rare": images <= 10, "common": (images > 10) & (images <= 100)}
    groups["frequent"] = images > 100
    print("| recipe | RFS | begin below 1, of 1203 | median rare / common / frequent |")
    print("|---|---|---|---|")
    for axis, factor, name in zip(axes, (np.ones(len(images)), repeats), ("no", "yes")):
        for recipe, (num_anchors, of_instance, others, rounded_up, *form) in RECIPES.items():
            repeated = images * (others + (np.ceil(factor) if rounded_up else factor))
            positives = torch.from_numpy(of_instance * repeated / NUM_IMAGES)
            ratio = initial_ratio(PRIOR, positives, num_anchors, *form).numpy()
            below = int((ratio < 1).sum())
            axis.plot(np.sort(ratio), label=f"{recipe}: {below} below 1")
            medians = " / ".join(f"{np.median(ratio[index]):.3g}" for index in groups.values())
            print(f"| {recipe} | {name} | {below} | {medians} |")
        axis.axhline(1, color="0.5", linewidth=1)
        title = "with repeat factors" if name == "yes" else "each image once"
        axis.set(yscale="log", xlabel="classes, from the rarest", title=title)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("predicted gradient ratio at the start")
    figure.savefig(Path(__file__).parent / "lvis_initial_ratio.png", dpi=110)


if __name__ == "__main__":
    main()
