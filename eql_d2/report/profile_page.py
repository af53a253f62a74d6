"""Figure and page of the long tail of a data set."""

import os
from pathlib import Path

import numpy as np

from ..modeling import InitialRegime
from .categories import TableOfCategories, rounded
from .drawing import BLUE, VERMILLION, Curve, ReportFigure, draw_categories, legend_below, panels
from .profile import DataProfile, gini, profile_facts, profile_groups
from .regime import regime_rows, regime_sentences
from .rendering import save_figures, write_page


def write_profile(
    profile: DataProfile,
    path: str | os.PathLike | None = None,
    regime: InitialRegime | None = None,
) -> Path:
    """Write the page of a data set, and its figure as PNG to ``figures/`` beside it.

    Args:
        profile: see :func:`profile_data`.
        path: of the page; None for ``output/profile/<name>/report.html``.
        regime: where the classes begin with some config, or None.

    Returns:
        Path of the page.
    """
    name = Path(profile.name).stem
    path = Path("output") / "profile" / name / "report.html" if path is None else Path(path)
    exposure = profile.exposure
    columns = [
        rounded("repeat factor", "number", exposure.repeat_factors, 4),
        rounded("shown at equal steps", "number", exposure.at_equal_steps, 4),
    ]
    write_page(
        path,
        "profile.html",
        title=f"Long tail of {profile.name}",
        groups=profile_groups(profile),
        facts=profile_facts(profile),
        regime=None if regime is None else (regime_rows(regime), regime_sentences(regime)),
        figures=save_figures([draw_profile(profile)], path.parent / "figures"),
        table=TableOfCategories(profile.categories, profile.group_names, [("", columns)]),
    )
    return path


def draw_profile(profile: DataProfile) -> ReportFigure:
    """Images and instances, and the repeat factor, of the categories from frequent to rare."""
    counts, categories = profile.table.counts, profile.categories
    images, instances, num_images = counts.image_count, counts.instance_count, counts.num_images
    figure, (left, right) = panels(["", ""], "images and instances", sharey=False)
    names = profile.group_names
    curves = Curve(instances, VERMILLION, "instances"), Curve(images, BLUE, "images")
    draw_categories(left, categories, names, curves, log=True)
    exposure = profile.exposure
    curves = (
        Curve(exposure.repeat_factors, BLUE, "repeat factor"),
        Curve(exposure.at_equal_steps, VERMILLION, "shown at equal steps"),
    )
    draw_categories(right, categories, names, curves)
    right.set_ylabel(f"times as often, t = {exposure.threshold:.3g}")
    right.set_ylim(bottom=0)
    legend_below(figure, [left, right])
    groups = profile.table.groups.groups
    shown = [group for group in names if group in "fcr" or group in groups]
    sizes = ", ".join(f"{groups.count(group):,} {names[group]}" for group in shown)
    images = images[images > 0]
    return ReportFigure(
        "long-tail",
        "Images, instances and repeat factor of the categories",
        f"{len(groups):,} categories in {num_images:,} images, most frequent first: {sizes}. The "
        f"most frequent is in {images.max():,} images, the rarest in {images.min():,}; Gini "
        f"coefficient {gini(images):.2f}. With repeat factor sampling images of the rarest are "
        f"repeated {np.nanmax(exposure.repeat_factors):.2f} times; what is left of it among "
        "equally many images, shared with frequent categories as they are, is the second curve.",
        figure,
    )
