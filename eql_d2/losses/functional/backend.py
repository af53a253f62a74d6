"""Which of three forms computes a function: the switch, and what is taken when nobody sets it.

``kernels``: fused Triton kernels, which read the logits once in the forward pass (softmax: twice)
and once in the backward pass, where they write the gradient; nothing of the size of the logits is
kept between the passes. ``dense``: PyTorch over whole tensors with masks, which never makes the
host wait for the device and which ``torch.compile`` fuses. ``blocks``: PyTorch over parts that stay
in the cache of a CPU; on a GPU it waits.

They compute the same. For whoever distrusts one, the environment variable ``EQL_D2_BACKEND``, or
around some lines :func:`backend`, takes another.
"""

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

import torch

from . import blocks, dense

try:
    from . import operators
except ImportError as error:  # Triton comes with PyTorch's builds for CUDA
    if error.name != "triton":
        raise
    operators = None

_FORMS = {"kernels": operators, "dense": dense, "blocks": blocks}
_VARIABLE = "EQL_D2_BACKEND"
_chosen = os.environ.get(_VARIABLE, "auto")


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Compute by one form inside a ``with``.

    Args:
        name: ``kernels`` (dense for logits in float64), ``dense``, ``blocks``, or ``auto``: kernels
            for logits on CUDA where Triton is installed, blocks on a CPU, dense elsewhere and
            inside ``torch.compile`` on a CPU.

    Raises:
        ValueError: the name is another, or Triton is not installed.
    """
    global _chosen
    _check(name)
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def form_for(logits: torch.Tensor) -> ModuleType:
    """The form, a module with all functions, that computes for these logits.

    Raises:
        ValueError: the environment variable has a value that :func:`backend` would refuse.
    """
    is_double = logits.dtype == torch.float64  # the kernels compute in float32
    if _chosen != "auto":
        _check(_chosen)
        form = _FORMS[_chosen]
        return form if form is not operators or not is_double else dense
    if logits.device.type == "cpu":
        return dense if torch.compiler.is_compiling() else blocks
    has_kernels = operators is not None and logits.device.type == "cuda"
    return operators if has_kernels and not is_double else dense


def _check(name: str) -> None:
    if name not in ("auto", *_FORMS):
        raise ValueError(f"{_VARIABLE} is {name!r}: give auto, {', '.join(_FORMS)}")
    if name == "kernels" and operators is None:
        raise ValueError(
            f"{_VARIABLE} is 'kernels', but Triton is not installed: give auto or dense"
        )
