"""What an example is made of, and by which rule examples are chosen: the same for all tasks."""

import io
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from PIL import Image

from ...evaluation.example_images import read_example_images
from ...exceptions import InputError
from ..rendering import data_address
from ..run import Run, score_name, scores_of

_RULE = (
    "Of the categories that the test data show, these are the {number} with the fewest training "
    "images (at least one; of equally few the first in the list), each on the test image of which "
    "it takes the largest share (of equal shares the first by file name)."
)


class Panel(NamedTuple):
    """A picture of an example or a list of predictions.

    Attributes:
        title: what it shows, such as the name of a run.
        address: of the picture, for an ``<img>``; "" for a list.
        alternative: text for those who do not see the picture.
        lines: the list: each text, and whether it is right.
    """

    title: str
    address: str = ""
    alternative: str = ""
    lines: Sequence[tuple[str, bool]] = ()


class Example(NamedTuple):
    """A test image: title, panels and, where colours need it, the name of each colour."""

    title: str
    panels: list[Panel]
    legend: Sequence[tuple[str, str]] = ()


def rule(number: int) -> str:
    """How so many examples were chosen, one sentence for the page."""
    return _RULE.format(number=number)


def rarest(categories: Sequence[Mapping], shown: Collection[int]) -> list[int]:
    """Indices of the categories with training images that the test data show, by the rule.

    Args:
        categories: with "image_count", by class index.
        shown: class indices that the test data have.

    Raises:
        InputError: there is none whose training images are known.
    """
    counts = {index: categories[index]["image_count"] for index in shown}
    known = [index for index, count in counts.items() if count]
    if not known:
        raise InputError("the training images of the tested categories are not known")
    return sorted(known, key=lambda index: (counts[index], index))


def category_title(category: Mapping) -> str:
    """Name and training images."""
    count = category["image_count"]
    return f"{category['name']}: {count:,} training image{'s' if count > 1 else ''}"


def run_titles(runs: Sequence[Run], task: str, index: int) -> list[str]:
    """Name of each run with its score of a category."""
    titles = []
    for run in runs:
        table = run.tables[task]
        score = scores_of(table)[index]
        score = f"{score:.1f}" if math.isfinite(score) else "–"
        name = run.name if len(runs) > 1 else "prediction"
        titles.append(f"{name}: {score_name(table)} {score}")
    return titles


def check_same_categories(runs: Sequence[Run], task: str) -> None:
    """Refuse runs of which one image could not show the same category.

    Raises:
        InputError: a run has no table of the task, or one of other categories.
    """
    if missing := [run.name for run in runs if task not in run.tables]:
        raise InputError(f"{missing[0]} has no scores of {task}")
    if len({len(run.tables[task]) for run in runs}) > 1:
        raise InputError("the runs are scored on different categories")


def left_examples(runs: Sequence[Run], task: str) -> tuple[dict[int, str], list[dict[str, dict]]]:
    """What the evaluators have left of the test images that the rule allows.

    Args:
        runs: with the same test data.
        task: name of the results, with several test sets "my_val/classification".

    Returns:
        File name of the image of each category, and of each run the content by file name.

    Raises:
        InputError: a run has none, or of other images.
    """
    folder, _, name = task.rpartition("/")
    chosen, contents = {}, []
    for run in runs:
        pattern = f"{folder or '**'}/examples_{name}.json"
        paths = sorted((run.output_dir / "inference").glob(pattern))
        if not paths:
            raise InputError(
                f"{run.output_dir / 'inference'} has no examples_{name}.json: evaluate again "
                "(train_net.py --eval-only)"
            )
        of_run, content = read_example_images(paths[0])
        chosen = chosen or of_run
        if of_run != chosen:
            raise InputError(f"{run.name} was tested on other images than {runs[0].name}")
        contents.append(content)
    return chosen, contents


def encoded(image: Image.Image, side: int) -> str:
    """Address of a picture whose longer side is at most `side`; small ones become larger without
    new colours."""
    factor = side / max(image.size)
    if factor >= 2:
        scale, kind = int(factor), Image.Resampling.NEAREST
        image = image.resize([size * scale for size in image.size], kind)
    elif factor < 1:
        kind = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.LANCZOS
        image = image.resize([max(1, round(size * factor)) for size in image.size], kind)
    is_photo = image.mode != "P" and factor < 2
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if is_photo else "PNG", **({"quality": 85} if is_photo else {}))
    return data_address(f"image/{'jpeg' if is_photo else 'png'}", buffer.getvalue())
