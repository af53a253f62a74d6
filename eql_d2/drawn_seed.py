"""The seed that a training without one has drawn, in a file beside its config, which has -1."""

import os

from .exceptions import InputError
from .files import read_json, write_json

_FILE = "drawn_seed.json"


def write_drawn_seed(output_dir: str | os.PathLike, seed: int) -> None:
    """Keep the seed for who reads the ``OUTPUT_DIR``."""
    write_json(os.path.join(output_dir, _FILE), {"seed": seed})


def read_drawn_seed(output_dir: str | os.PathLike) -> int | None:
    """The seed; None if it is not known."""
    try:
        seed = read_json(os.path.join(output_dir, _FILE))["seed"]
    except (InputError, OSError, LookupError, TypeError):
        return None
    return seed if type(seed) is int else None
