"""Random numbers that depend on where a training is, not on what was drawn before.

Guards against random numbers that an interruption loses: none of their states is in a checkpoint,
and each process, a worker of a data loader too, has states of its own. Here a state is a function
of a few integers, so it can be had again at any time and in any process.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

# What the random numbers are for, the second integer: no two purposes share a state.
STEP, IMAGE, ORDER, COUNT = range(4)


def seed_host(*key: int) -> None:
    """Seed Python's and NumPy's random numbers and those of PyTorch on the CPU.

    Args:
        *key: integers, 0 or more, of which the state is a hash: NumPy's ``SeedSequence``, whose
            values NumPy has promised never to change.
    """
    _seed_host(_hash(key))


def seed_all(*key: int) -> None:
    """:func:`seed_host`, and PyTorch's random numbers on the GPUs. The host does not wait."""
    seed = _hash(key)
    _seed_host(seed)
    # PyTorch's manual_seed, where CUDA is not in use, keeps the call with a formatted stack: 0.5 ms
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextlib.contextmanager
def random_numbers_given_back() -> Iterator[None]:
    """Leave the states of Python's, NumPy's and PyTorch's random numbers as they were."""
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)


def _hash(key: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def _seed_host(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # all that it takes
    torch.default_generator.manual_seed(seed)
