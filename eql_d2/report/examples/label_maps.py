"""Examples of semantic segmentation: an image, its label map and the predicted ones."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import Image, ImageColor

from ..drawing import BLUE, GREEN, ORANGE, SKY, VERMILLION
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

MOST = 4
HOW = (
    "The category in question is orange-red. The others get their colours in the order of their "
    "pixels, first in the truth, then in the predictions; the same in all maps of an image."
)
_PIXELS = 320
_COLORS = (BLUE, GREEN, ORANGE, SKY, "#CC79A7", "#F0E442", "#7F3C8D", "#8C564B", "#17202A")
_OTHER_COLOR, _NO_LABEL_COLOR = "#b8bdc4", "#ffffff"


def label_map_examples(runs: Sequence[Run], task: str) -> Iterator[Example]:
    """Examples, the rarest category first; see :func:`crop_examples`."""
    check_same_categories(runs, task)
    chosen, contents = left_examples(runs, task)
    categories = categories_of(runs[-1], task)
    names = dict(enumerate(str(category["name"]) for category in categories))
    for index in rarest(categories, chosen)[:MOST]:
        file_name = chosen[index]
        maps = [_labels(contents[0][file_name]["truth"])]
        maps += [_labels(content[file_name]["prediction"]) for content in contents]
        colors = _colors(index, maps, len(names))
        image = Image.fromarray(read_image(file_name, "RGB"))
        panels = [Panel("image", encoded(image, _PIXELS), f"test image with {names[index]}")]
        for title, labels in zip(["truth", *run_titles(runs, task, index)], maps):
            address = encoded(_drawn(labels, colors), _PIXELS)
            panels.append(Panel(title, address, f"{title}; {_in_words(labels, names)}"))
        yield Example(category_title(categories[index]), panels, _legend(colors, names))


def _labels(png: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(png)))).astype(int)


def _colors(index: int, maps: Sequence[np.ndarray], num_classes: int) -> dict[int, str]:
    """Colour of each label of the maps; that of pixels without one is `num_classes`."""
    order = dict.fromkeys([index])
    for labels in maps:
        found, count = np.unique(labels, return_counts=True)
        order |= dict.fromkeys(found[np.argsort(-count, kind="stable")].tolist())
    others = [label for label in order if label not in (index, num_classes)]
    colors = dict.fromkeys(others, _OTHER_COLOR) | dict(zip(others, _COLORS))
    colors = {index: VERMILLION} | colors
    return colors | ({num_classes: _NO_LABEL_COLOR} if num_classes in order else {})


def _drawn(labels: np.ndarray, colors: Mapping[int, str]) -> Image.Image:
    palette = list(dict.fromkeys(colors.values()))
    place = np.zeros(max(colors) + 1, dtype=np.uint8)
    for label, color in colors.items():
        place[label] = palette.index(color)
    image = Image.fromarray(place[labels], "P")
    image.putpalette([value for color in palette for value in ImageColor.getrgb(color)])
    return image


def _legend(colors: Mapping[int, str], names: Mapping[int, str]) -> list[tuple[str, str]]:
    legend = [(c, names.get(k, "no label")) for k, c in colors.items() if c != _OTHER_COLOR]
    others = list(colors.values()).count(_OTHER_COLOR)
    return legend + ([(_OTHER_COLOR, f"{others} others")] if others else [])


def _in_words(labels: np.ndarray, names: Mapping[int, str]) -> str:
    found, count = np.unique(labels, return_counts=True)
    order = np.argsort(-count, kind="stable")[: len(_COLORS)]
    shares = (f"{names.get(int(found[i]), 'no label')} {count[i] / labels.size:.0%}" for i in order)
    return f"share of the pixels: {', '.join(shares)}"
