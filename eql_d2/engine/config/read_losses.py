"""Whether anything reads what a config says of the loss: a head of Detectron2's has its own."""

from collections.abc import Collection, Iterator, Sequence

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.utils.registry import Registry

from ...config import content_of, default_config, leaves, read_config, value_of
from ...exceptions import InputError
from ...losses import EQL_LOSS_REGISTRY
from ...messages import shown
from .keys import BOX_HEADS

_ROI_HEADS, _SEM_SEG_HEAD = "MODEL.ROI_HEADS.NAME", "MODEL.SEM_SEG_HEAD.NAME"
_ARCHITECTURE = "MODEL.META_ARCHITECTURE"
# Detectron2's parts with a loss of their own, and ours in their place
_OURS = {
    "StandardROIHeads": "EQLROIHeads",
    "CascadeROIHeads": "EQLCascadeROIHeads",
    "Res5ROIHeads": "EQLRes5ROIHeads",
    "RetinaNet": "EQLRetinaNet",
    "SemSegFPNHead": "EQLSemSegFPNHead",
    "DeepLabV3PlusHead": "EQLDeepLabV3PlusHead",
    "DeepLabV3Head": "EQLDeepLabV3PlusHead",
}
# Keys under MODEL.EQL that the trainers and the evaluators read, whatever the loss is
_NOT_OF_THE_LOSS = ("LOG_PERIOD", "FREQUENCY_THRESHOLDS", "SEM_SEG")
_EQL = "MODEL.EQL."
_DEFAULTS = dict(leaves(default_config()))


def load_yaml(path: str, overrides: Sequence[str]) -> CfgNode:
    """:func:`eql_d2.config.read_config`, for a run: what it says of the loss must be read.

    Raises:
        InputError: a line for each problem of the file, or else of the overrides.
    """
    cfg, changed = read_config(path, overrides), overrides[::2]
    in_files = [key for key, _ in leaves(CfgNode(content_of(path)))]
    problems = [*unread_loss(cfg, in_files, changed), *unread_nodes(cfg, changed)]
    if problems:
        raise InputError(*problems)
    return cfg


def unread_loss(
    cfg: CfgNode, in_files: Collection[str], overrides: Collection[str]
) -> Iterator[str]:
    """A line if keys of the loss are given and every head trains Detectron2's own.

    Arguments of losses in a file are passed over: a base has them for several.

    Args:
        cfg: merged.
        in_files: dotted keys that the config file and its bases set.
        overrides: those of the command line.
    """
    shared = [key for key in in_files if key.startswith(_EQL) and key.count(".") == 2]
    keys = {*shared, *(key for key in overrides if key.startswith(_EQL))}
    keys = {key for key in keys if key.split(".")[2] not in _NOT_OF_THE_LOSS}
    keys = {k for k in keys if k == f"{_EQL}LOSS" or value_of(cfg, k) != _DEFAULTS.get(k)}
    parts = [(_ARCHITECTURE, META_ARCH_REGISTRY)]
    architecture = cfg.MODEL.META_ARCHITECTURE
    if architecture in BOX_HEADS:
        parts = [(_ROI_HEADS, ROI_HEADS_REGISTRY)]
    if architecture in ("SemanticSegmentor", "PanopticFPN"):
        parts = parts * (architecture == "PanopticFPN") + [(_SEM_SEG_HEAD, SEM_SEG_HEADS_REGISTRY)]
    if not keys or not all(_is_of_detectron2(cfg, *part) for part in parts):
        return
    key = f"{_EQL}LOSS" if f"{_EQL}LOSS" in keys else sorted(keys)[0]
    part = parts[0][0]
    ours = _OURS.get(value_of(cfg, part))
    fix = f"set it to {ours}" if ours else "there is none of ours in its place"
    yield (
        f"{key} is {shown(value_of(cfg, key))}, but {part} {value_of(cfg, part)} trains "
        f"Detectron2's own loss: {fix}, or leave MODEL.EQL out"
    )


def unread_nodes(cfg: CfgNode, given: Collection[str]) -> Iterator[str]:
    """A line for each override that is an argument of another loss than the one chosen."""
    loss = cfg.MODEL.EQL.LOSS
    if loss not in EQL_LOSS_REGISTRY:
        return
    own = {base.__name__.upper() for base in EQL_LOSS_REGISTRY.get(loss).__mro__}
    of_losses = {name.upper(): name for name, _ in EQL_LOSS_REGISTRY}
    for key in given:
        node = key.removeprefix(_EQL).split(".")[0] if key.startswith(_EQL) else ""
        if node in of_losses and node not in own:
            yield (
                f"{key} is an argument of {of_losses[node]}, but MODEL.EQL.LOSS is {loss}: leave "
                "it out, or set the loss"
            )


def _is_of_detectron2(cfg: CfgNode, key: str, registry: Registry) -> bool:
    name = value_of(cfg, key)
    if name not in registry:
        return False  # of the user's own, which is not registered yet
    return registry.get(name).__module__.startswith("detectron2.")
