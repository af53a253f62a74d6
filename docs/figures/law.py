"""Figure of docs/prior.md: what EFL gives the rare letters, against where they begin.

    python docs/figures/law.py

Reads onestage.csv beside it. The predicted ratio of the median rare letter at the prior 0.03 is
that of ``python -m eql_d2.report --data datasets/glyphs/train.json`` with ``--config-file
configs/Demo/glyphs_efl.yaml``; that of other priors follows.
"""

import csv
from pathlib import Path

import matplotlib

from eql_d2.losses.functional import initial_gradients

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
# Anchors a position: predicted ratio of the median rare letter at the prior 0.03
AT_PRIOR_003 = {6: 0.0482, 1: 0.0916, 2: 0.0543}
# Suffix of the losses, anchors a position, marker and label
SERIES = (
    ("", 6, "o", "RetinaNet, six anchors a position"),
    ("", 1, "s", "RetinaNet, one anchor"),
    ("_improved", 2, "^", "improved baseline, two anchors"),
)


def ratio(num_anchors: int, prior: float) -> float:
    (pos, neg), (pos_003, neg_003) = (initial_gradients(p, 2.0, 0.25) for p in (prior, 0.03))
    return AT_PRIOR_003[num_anchors] * (pos / neg) / (pos_003 / neg_003)


def main() -> None:
    with open(FOLDER / "onestage.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rare = {
        (int(row["anchors_per_position"]), float(row["prior"]), row["seed"], row["loss"]): row
        for row in rows
    }
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for suffix, num_anchors, marker, label in SERIES:
        gains = [
            (
                ratio(n, prior),
                float(row["APr"]) - float(rare[n, prior, seed, f"focal{suffix}"]["APr"]),
            )
            for (n, prior, seed, loss), row in rare.items()
            if loss == f"efl{suffix}" and n == num_anchors
        ]
        axis.plot(*zip(*sorted(gains)), marker, label=label)
    axis.axvline(1, color="0.6", linewidth=1)
    axis.axhline(0, color="0.6", linewidth=1)
    axis.set(
        xscale="log",
        xlabel="predicted ratio with which the median rare letter begins",
        ylabel="EFL - focal loss, box AP of rare letters",
    )
    axis.legend()
    figure.savefig(FOLDER / "law.png", dpi=110)


if __name__ == "__main__":
    main()
