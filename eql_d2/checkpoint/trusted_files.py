"""Files that could run code are looked at before they are loaded.

Detectron2 loads model files that end in .pkl and files of proposals by ``pickle``, and a pickle may
name any function to be called. Here one is read first with a list of what it may name: all that
arrays and Detectron2's own files need, nothing that does anything. PyTorch's ``weights_only`` does
the same for .pth and .pyth. Whoever can change a file between this look and Detectron2's own can
still do harm.

A file of one's own that holds more is trusted by name, several with a colon between them::

    EQL_D2_TRUST_PICKLE=own.pkl train_net.py ...
"""

import codecs
import collections
import os
import pickle
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from detectron2.structures import BoxMode

from ..exceptions import InputError

TRUST = "EQL_D2_TRUST_PICKLE"

# NumPy 1 calls its inner modules numpy.core, NumPy 2 numpy._core; a file may be by either.
_ARRAY_FUNCTIONS = {
    ("multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0],
    ("multiarray", "scalar"): np.float32(0).__reduce__()[0],
    ("numeric", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0],
}
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("detectron2.structures.boxes", "BoxMode"): BoxMode,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for (module, name), function in _ARRAY_FUNCTIONS.items()
    },
}


class _AllowListUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None


class _Forbidden(Exception):
    pass


def is_trusted(path: str) -> bool:
    """Whether the user vouches for a file, by its name in ``EQL_D2_TRUST_PICKLE``."""
    names = os.environ.get(TRUST, "").split(os.pathsep)
    return os.path.realpath(path) in [os.path.realpath(name) for name in names if name]


def check_pickle(path: str) -> None:
    """Refuse a pickle that holds anything but arrays, numbers, text, lists and dicts.

    Raises:
        InputError: it does, or cannot be read.
    """
    if is_trusted(path):
        return
    try:
        with open(path, "rb") as file:
            _AllowListUnpickler(file, encoding="latin1").load()
    except _Forbidden as error:
        raise _refusal(path, str(error)) from error
    except Exception as error:  # a damaged file may fail anywhere in the reader
        raise InputError(
            f"{path!r} cannot be read ({type(error).__name__}): it is cut off, damaged or no "
            "pickle, copy it again"
        ) from error


def check_proposals(paths: Iterable[str]) -> None:
    """Refuse files of proposals (``DATASETS.PROPOSAL_FILES_*``) as :func:`check_pickle` does."""
    for path in paths:
        if "://" in path:
            raise InputError(f"proposals {path!r} are not on this machine: download them first")
        if not os.path.isfile(path):
            raise InputError(f"proposals {path!r} do not exist: check DATASETS.PROPOSAL_FILES_*")
        check_pickle(path)


def load_tensors(path: str, **options: Any) -> Any:
    """``torch.load`` on the CPU, which runs no code.

    Args:
        path: of a file that PyTorch wrote.
        **options: of ``torch.load``.

    Raises:
        InputError: the file holds more than tensors, numbers, text, lists and dicts.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=not is_trusted(path), **options)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise
        raise _refusal(path, found[1]) from error


def _refusal(path: str, name: str) -> InputError:
    return InputError(
        f"{path!r} holds {name}, and what is no tensor or number could run code: if the file is "
        f"your own, set {TRUST}={path} in the environment"
    )
