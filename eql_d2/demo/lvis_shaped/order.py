"""Whether a study orders the losses as published tables of LVIS do.

python -m eql_d2.demo.lvis_shaped.order RUNS.csv
"""

import argparse
import csv
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_EQLV2 = "https://github.com/tztztztztz/eqlv2/blob/HEAD/README.md"
_EQL = "https://github.com/tztztztztz/eql.detectron2/blob/HEAD/projects/EQL/README.md"
_SEESAW = "https://github.com/open-mmlab/mmdetection/tree/main/configs/seesaw_loss"
# AP, rare, common, frequent of rows that stand in one table, by its source; those of the two
# without an address are known at second hand, and of a mean alone there are no groups
PUBLISHED = {
    f"LVIS v1, Mask R-CNN R50 1x, mask AP: {_EQLV2}": {
        "softmax": (16.1, 0.0, 12.0, 27.4),
        "eql": (18.6, 2.1, 17.4, 27.2),
        "softmax_rfs": (22.2, 11.5, 21.2, 28.0),
        "eqlv2": (23.7, 14.9, 22.8, 28.6),
    },
    f"LVIS v0.5, Mask R-CNN R50 1x, mask AP: {_EQL}": {
        "softmax": (21.2, 3.2, 21.1, 28.7),
        "eql": (24.0, 9.4, 25.2, 28.4),
        "eql_rfs": (26.1, 17.2, 27.3, 28.2),
    },
    f"LVIS v1, Mask R-CNN R50 2x, mask AP: {_SEESAW}": {
        "seesaw": (25.0,),
        "seesaw_rfs": (26.4,),
    },
    "LVIS v1, Mask R-CNN R50 2x, mask AP, second hand": {
        "softmax": (19.3, 1.2, 17.4, 29.3),
        "softmax_rfs": (22.8, 12.9, 21.6, 28.3),
        "eqlv2": (25.5, 17.7, 24.3, 30.2),
        "seesaw_rfs": (26.4, 19.6, 26.1, 29.8),
    },
    "LVIS v1, Faster R-CNN R50 2x, box AP, second hand": {
        "softmax": (19.3, 1.1, 16.1, 30.9),
        "sigmoid": (19.5, 1.6, 16.6, 30.6),
        "eql": (21.8, 3.6, 21.1, 30.5),
        "seesaw": (24.8, 14.8, 22.7, 31.6),
    },
}


def published_pairs() -> dict[tuple[str, str], float]:
    """Pairs of rows, the lower one first, that stand in one table, and by how much they differ; in
    the first table that has them."""
    pairs = {}
    for table in PUBLISHED.values():
        for low, high in itertools.combinations(sorted(table, key=table.get), 2):
            if (low, high) not in pairs and (high, low) not in pairs:
                pairs[low, high] = table[high][0] - table[low][0]
    return pairs


def kendall(means: Mapping[str, float]) -> tuple[float, list[tuple[str, str]]]:
    """Kendall's tau over the published pairs whose rows a study has, each counted once.

    Args:
        means: AP of each run.

    Returns:
        tau, nan without a pair, and the pairs that come out the other way.
    """
    pairs = [pair for pair in published_pairs() if means.keys() >= set(pair)]
    turned = [(low, high) for low, high in pairs if means[low] >= means[high]]
    return (1 - 2 * len(turned) / len(pairs) if pairs else np.nan), turned


def read_runs(path: Path) -> dict[str, np.ndarray]:
    """AP, APr, APc and APf of each run, float64 (seeds, 4), of a ``runs.csv`` of a study or of
    docs/figures/lvis_shaped.csv."""
    found: dict[str, list] = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = [row.get(f"bbox/{key}", row.get(key)) for key in ("AP", "APr", "APc", "APf")]
            if all(values):
                found.setdefault(row["run"], []).append([float(value) for value in values])
    return {run: np.array(rows) for run, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, metavar="RUNS.csv", help="of a study")
    means = {run: rows.mean(axis=0)[0] for run, rows in read_runs(parser.parse_args().runs).items()}
    for (low, high), published in published_pairs().items():
        if means.keys() >= {low, high}:
            print(f"{high} - {low}: {means[high] - means[low]:+.1f}, published {published:+.1f}")
    tau, turned = kendall(means)
    print(f"Kendall's tau {tau:.2f}; the other way: {turned or 'none'}")


if __name__ == "__main__":
    main()
