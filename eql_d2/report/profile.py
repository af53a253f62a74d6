"""The long tail of a data set, before any training: how uneven it is, and what RFS makes of it."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from ..data import (
    GROUP_NAMES,
    SHOT_NAMES,
    CategoriesOfImages,
    CategoryTable,
    Exposure,
    Limits,
    count_categories,
)
from ..data.category_groups import WITHOUT_IMAGE, group_by_images
from ..data.datasets.class_folders import read_class_folder
from ..data.datasets.json_instances import read_json_instances
from ..exceptions import InputError

# Threshold t of repeat factor sampling for LVIS, https://arxiv.org/abs/1908.03195
REPEAT_THRESHOLD = 0.001
# No image is opened.
_LIMITS = Limits(max_image_pixels=math.inf, allow_outside_paths=True)


class DataProfile(NamedTuple):
    """How often the categories of a data set occur.

    Attributes:
        name: of the file or folder.
        table: of the categories.
        thresholds: most images of a rare and of a common category.
        exposure: what repeat factor sampling does to the categories.
        records: the data in Detectron2's standard format.
        group_names: of the task, by the keys of the groups.
    """

    name: str
    table: CategoryTable
    thresholds: tuple[int, int]
    exposure: Exposure
    records: Sequence[dict]
    group_names: Mapping[str, str]

    @property
    def categories(self) -> list[dict]:
        """``{"name", "group", "image_count", "instance_count"}`` by class index."""
        return self.table.rows()


def profile_data(
    path: str | os.PathLike,
    thresholds: tuple[int, int] = (10, 100),
    repeat_threshold: float = REPEAT_THRESHOLD,
    dose: float | None = None,
) -> DataProfile:
    """Count a data set that need not be registered; crowd regions do not count.

    Args:
        path: annotations in COCO or LVIS format, or a folder of class folders.
        thresholds: most images of a rare and of a common category.
        repeat_threshold: images of categories in a smaller share of the images are repeated.
        dose: in its place, how often the median category of the rarest group is to be shown, among
            equally many images and compared with no repetition; the threshold is found.

    Raises:
        InputError: the data cannot be read, or no image is annotated; the threshold is no share of
            the images, or none gives the dose.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        (names, records), group_names = read_class_folder(path, path), SHOT_NAMES
    else:
        names, records = read_json_instances(path, path, "", _LIMITS)
        group_names = GROUP_NAMES
    counts = count_categories(records, names)
    if counts.num_images == 0:
        raise InputError(f"{path} has no annotated image: there is nothing to count")
    table = CategoryTable(counts, group_by_images(counts.image_count, thresholds, group_names))
    images = CategoriesOfImages(records, len(names))
    if dose is not None:
        groups = np.array(table.groups.groups)
        rarest = next(group for group in "rcf" if group in groups)
        repeat_threshold = images.threshold_for(dose, groups == rarest)
    return DataProfile(
        Path(path).name,
        table,
        tuple(thresholds),
        images.exposure(repeat_threshold),
        records,
        group_names,
    )


def gini(counts: np.ndarray) -> float:
    """Gini coefficient: 0 if all counts are equal, towards 1 if one category has everything."""
    ordered = np.sort(np.asarray(counts, dtype=float))
    size, ranks = len(ordered), np.arange(1, len(ordered) + 1)
    return float(np.sum((2 * ranks - size - 1) * ordered) / (size * ordered.sum()))


def profile_facts(profile: DataProfile) -> list[tuple[str, str]]:
    """Label and value of what is one number for the whole data set."""
    counts = profile.table.counts
    images, instances, seen = counts.image_count, counts.instance_count, counts.image_count > 0
    missing = [str(name) for name, is_seen in zip(counts.names, seen) if not is_seen]
    facts = {
        "annotated images": f"{counts.num_images:,}",
        "instances": f"{instances.sum():,}",
        "categories": f"{len(counts.names):,}",
        "Gini coefficient of the images": f"{gini(images[seen]):.3f}",
        "Gini coefficient of the instances": f"{gini(instances[seen]):.3f}",
        "imbalance, most over fewest images": _imbalance(images[seen]),
        "imbalance, most over fewest instances": _imbalance(instances[seen]),
    }
    exposure = profile.exposure
    sampled = f"with repeat factor sampling, t = {exposure.threshold:.3g}: images of a pass"
    length = exposure.pass_length
    facts[sampled] = f"{counts.num_images * length:,.0f} ({length:.2f} times as many)"
    facts["images that it repeats"] = f"{exposure.repeated_share:.1%}"
    if missing:
        more = f", and {len(missing) - 20:,} more" if len(missing) > 20 else ""
        facts[f"categories without images ({len(missing):,})"] = ", ".join(missing[:20]) + more
    return list(facts.items())


def profile_groups(profile: DataProfile) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table by frequency group; the last three columns, means of the
    categories, are of repeat factor sampling, see :class:`eql_d2.data.Exposure`."""
    images, instances = profile.table.counts.image_count, profile.table.counts.instance_count
    groups = np.array(profile.table.groups.groups)
    rare, common = profile.thresholds
    limits = {"r": f"at most {rare:,} images", "c": f"at most {common:,}", "f": "more"}
    names = profile.group_names
    has_image = groups != WITHOUT_IMAGE
    masks = {"all" if has_image.all() else "all with an image": has_image}
    masks |= {f"{names[group]} ({limit})": groups == group for group, limit in limits.items()}
    if not has_image.all():
        masks[names[WITHOUT_IMAGE]] = ~has_image
    exposure = profile.exposure
    of_rfs = (exposure.repeat_factors, ".2f"), (exposure.at_equal_steps, ".2f")
    of_rfs = (*of_rfs, (exposure.lost, ".1%"))
    rows = []
    for name, index in masks.items():
        shown = index & (images > 0)
        rows.append(
            [
                name,
                f"{index.sum():,}",
                f"{np.median(images[index]):,.0f}" if index.any() else "–",
                f"{instances[index].sum():,}",
                f"{instances[index].sum() / instances.sum():.1%}",
                *(
                    f"{values[shown].mean():{form}}" if shown.any() else "–"
                    for values, form in of_rfs
                ),
            ]
        )
    header = ["group", "categories", "images (median)", "instances", "share of the instances"]
    of_rfs = ["mean repeat factor", "shown at equal steps", "lost by sharing images"]
    return [*header, *of_rfs], rows


def profile_text(profile: DataProfile) -> str:
    """Both tables for a terminal."""
    header, rows = profile_groups(profile)
    aligned = ("left", *["right"] * (len(header) - 1))
    groups = tabulate(rows, header, "github", disable_numparse=True, colalign=aligned)
    facts = tabulate(profile_facts(profile), tablefmt="plain", disable_numparse=True)
    return f"{profile.name}\n\n{groups}\n\n{facts}"


def _imbalance(counts: np.ndarray) -> str:
    return f"{counts.max() / counts.min():,.0f} ({counts.max():,} to {counts.min():,})"
