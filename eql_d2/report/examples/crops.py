"""Examples of image classification: an image, and the classes of the highest scores."""

from collections.abc import Iterator, Sequence

from detectron2.data.detection_utils import read_image
from PIL import Image

from ..run import Run, categories_of
from .parts import (
    Example,
    Panel,
    category_title,
    check_same_categories,
    encoded,
    left_examples,
    rarest,
    run_titles,
)

MOST = 8
HOW = "Beside each image are the classes of the highest scores; the right one is bold."
_PIXELS = 160


def crop_examples(runs: Sequence[Run], task: str) -> Iterator[Example]:
    """Examples, the rarest category first.

    Args:
        runs: with the same test data.
        task: of the tables.

    Raises:
        InputError: a run has no examples, or others; the training images are not known.
    """
    check_same_categories(runs, task)
    chosen, contents = left_examples(runs, task)
    categories = categories_of(runs[-1], task)
    for index in rarest(categories, chosen)[:MOST]:
        file_name, name = chosen[index], categories[index]["name"]
        image = Image.fromarray(read_image(file_name, "RGB"))
        panels = [Panel("", encoded(image, _PIXELS), f"test image of {name}")]
        for title, content in zip(run_titles(runs, task, index), contents):
            lines = [
                (f"{categories[found]['name']} {score:.0%}", found == index)
                for found, score in content[file_name]["best"]
            ]
            panels.append(Panel(title, lines=lines or [("scores are not numbers", False)]))
        yield Example(category_title(categories[index]), panels)
