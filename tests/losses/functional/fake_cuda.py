"""Losses on CUDA tensors of true sizes, without a GPU: shapes and devices without numbers.

Whatever would make the host wait for the device (``item``, ``bool``, ``nonzero``, indexing by a
mask) raises, since there are no numbers.
"""

import contextlib

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

# What starts no kernel of a device
_FREE = (
    *("prim.device", "aten.view", "aten._unsafe_view", "aten.slice", "aten.select", "aten.expand"),
    *("aten.unsqueeze", "aten.transpose", "aten.permute", "aten.detach", "aten.squeeze"),
    *("aten.alias", "aten.unbind", "aten.empty", "aten.new_empty", "aten.empty_like"),
)


class Operations(TorchDispatchMode):
    """The operations of a device that are sent inside the ``with``, by name."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if name.rpartition(".")[0] not in _FREE:
            self.names.append(name)
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def on_cuda():
    """Tensors are fake and made on CUDA."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        yield


def backward(output):
    """Gradients of a scalar as autograd has them, in Python: its engine asks for a real GPU."""
    order, seen = [], set()

    def visit(node):
        if node is not None and node not in seen:
            seen.add(node)
            for following, _ in node.next_functions:
                visit(following)
            order.append(node)

    visit(output.grad_fn)
    gradients = {output.grad_fn: {0: torch.ones_like(output)}}
    leaves = []
    for node in reversed(order):
        given = gradients.pop(node)
        if hasattr(node, "variable"):
            leaves.append(given[0])
            continue
        inputs = [given.get(i) for i in range(len(node._input_metadata))]
        following_nodes = node.next_functions
        if hasattr(node, "apply"):  # of Python: inputs that are no tensors have a result, too
            results = [result for result in _tuple(node.apply(*inputs)) if result is not None]
            following_nodes = [pair for pair in following_nodes if pair[0] is not None]
        else:
            results = _tuple(node(*inputs))
        for (following, i), result in zip(following_nodes, results):
            if following is not None and result is not None:
                slots = gradients.setdefault(following, {})
                slots[i] = slots[i] + result if i in slots else result
    return leaves


def _tuple(results):
    return results if isinstance(results, tuple) else (results,)
