"""YOLOX-IP with EFL or EQFL of United-Perception, release 0.1.0.

Its stem reads the pixels of a patch by rows and its neck has shortcuts, as ours by default. As of
the improved baseline there may be files of later branches, whose class channels are ordered by
class: :func:`class_major_yolox_ip`.
"""

from .architectures import yolox_ip
from .foreign_file import ForeignFile
from .recipe import Recipe
from .united_perception import NUM_ANCHORS, add_loss, sort_class_channels
from .yolox import yolox_config, yolox_size

# Our modules, the more specific first
_MODULES = {"backbone.backbone.": "backbone.", "backbone.": "neck.", "head.": "roi_head."}
_BLOCKS = {
    "backbone.stem.conv.": "backbone.stem.conv_block.",
    "backbone.dark5.1.conv1.": "backbone.dark5.1.conv_block1.",
    "backbone.dark5.1.conv2.": "backbone.dark5.1.conv_block2.",
}


def efl_yolox_ip(file: ForeignFile) -> Recipe:
    recipe = _recipe(file)
    if add_loss(recipe, file):
        recipe.notes.append(
            "the file does not say whether it was trained with EFL or EQFL: the numbers are the "
            "same, to train on with EQFL give MODEL.EQL.LOSS EQFL"
        )
    return recipe


def class_major_yolox_ip(file: ForeignFile) -> Recipe:
    recipe = _recipe(file)
    sort_class_channels(recipe, [f"head.cls_preds.{level}" for level in range(3)])
    return recipe


def _recipe(file: ForeignFile) -> Recipe:
    size = yolox_size(
        file,
        "backbone.stem.conv_block.conv.weight",
        "backbone.dark2.1.m.{}.conv1.conv.weight",
    )
    num_classes = file.rows("roi_head.cls_preds.0.weight") // NUM_ANCHORS
    shapes = yolox_ip(size.num_bottlenecks, size.channels, num_classes, NUM_ANCHORS)
    config_file, overrides = yolox_config(size, num_classes, neck_shortcut=True)
    return Recipe(
        title=f"YOLOX-IP-{size.letter} of United-Perception with {num_classes} classes",
        shapes=shapes,
        layers={layer: _theirs(layer) for layer in {name.rpartition(".")[0] for name in shapes}},
        config_file=config_file,
        overrides={**overrides, "MODEL.RETINANET.NUM_CLASSES": num_classes},
        notes=[]
        if file.is_average
        else [
            "the file has no moving average of the weights (ema), with which the official numbers "
            "were measured"
        ],
    )


def _theirs(layer: str) -> str:
    """Name of a layer of ours in the file."""
    ours, theirs = next(pair for pair in _MODULES.items() if layer.startswith(pair[0]))
    name = theirs + layer.removeprefix(ours)
    for ours, theirs in _BLOCKS.items():
        name = name.replace(ours, theirs)
    return f"{name}1" if name.endswith(".bn") else name
