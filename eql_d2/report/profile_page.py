"""Figure and page of the long tail of a data set."""

import datetime
import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..data import GROUP_NAMES
from ..versions import __version__
from .categories import Column, TableOfCategories
from .drawing import (
    BLUE,
    VERMILLION,
    ReportFigure,
    category_order,
    draw_categories,
    mark_groups,
    tidy,
)
from .profile import DataProfile, gini, profile_facts, profile_groups
from .rendering import save_figures, write_page


def write_profile(profile: DataProfile, path: str | os.PathLike | None = None) -> Path:
    """Write the page of a data set, and its figure as PNG to ``figures/`` beside it.

    Args:
        profile: see :func:`profile_data`.
        path: of the page; None for ``output/profile/<name>/report.html``.

    Returns:
        Path of the page.
    """
    name = Path(profile.name).stem
    path = Path("output") / "profile" / name / "report.html" if path is None else Path(path)
    header, rows = profile_groups(profile)
    write_page(
        path,
        "profile.html",
        title=f"Long tail of {profile.name}",
        header=header,
        rows=rows,
        facts=profile_facts(profile),
        figures=save_figures([draw_profile(profile)], path.parent / "figures"),
        table=_table(profile),
        version=__version__,
        date=datetime.date.today().isoformat(),
    )
    return path


def draw_profile(profile: DataProfile) -> ReportFigure:
    """Images and instances, and the repeat factor, of the categories from frequent to rare."""
    counts = profile.table.counts
    images, instances, num_images = counts.image_count, counts.instance_count, counts.num_images
    order = category_order(profile.categories)
    figure = Figure(figsize=(9.2, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    for counts, color, label in (
        (instances, VERMILLION, "instances"),
        (images, BLUE, "images"),
    ):
        # What is 0 has no place on a logarithmic axis.
        draw_categories(left, np.where(counts > 0, counts, np.nan)[order], color, label, log=True)
    left.set_yscale("log")
    left.set_ylabel("images and instances")
    left.legend(fontsize=9)
    draw_categories(right, profile.repeat_factors[order], BLUE)
    right.set_ylabel(f"repeat factor, t = {profile.repeat_threshold:g}")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        tidy(axis)
        mark_groups(axis, profile.categories)
    groups = profile.table.groups.groups
    sizes = ", ".join(f"{groups.count(group):,} {GROUP_NAMES[group]}" for group in "fcr")
    return ReportFigure(
        "long-tail",
        "Images, instances and repeat factor of the categories",
        f"{len(groups):,} categories in {num_images:,} images, from frequent to rare: {sizes}. The "
        f"most frequent is in {images.max():,} images, the rarest in {images.min():,}; Gini "
        f"coefficient {gini(images):.2f}. With repeat factor sampling images of the rarest are "
        f"repeated {np.nanmax(profile.repeat_factors):.2f} times.",
        figure,
    )


def _table(profile: DataProfile) -> TableOfCategories:
    order = category_order(profile.categories)[::-1]
    categories = [profile.categories[index] for index in order]
    factors = [profile.repeat_factors[index] for index in order]
    columns = [
        Column("category", "text", [str(category["name"]) for category in categories]),
        Column("group", "text", [GROUP_NAMES[category["group"]] for category in categories]),
        Column("images", "count", [category["image_count"] for category in categories]),
        Column("instances", "count", [category["instance_count"] for category in categories]),
        Column(
            "repeat factor",
            "number",
            [None if np.isnan(factor) else round(float(factor), 3) for factor in factors],
        ),
    ]
    return TableOfCategories(columns, [])
