"""Guards against a traceback where Detectron2 or PyTorch refuses what a config gives it.

Not everything can be known beforehand: a depth that Detectron2's ResNet does not have, features
that another part does not give, an argument that a class hands on.
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from ..exceptions import InputError
from ..messages import first_line

_OURS = Path(__file__).parents[1]


@contextlib.contextmanager
def building(what: str, keys: str) -> Iterator[None]:
    """Turn an error that arises in other code than ours into one line; ours keeps its traceback.

    Args:
        what: is built.
        keys: of the config that it is built from.

    Raises:
        InputError: in the place of any error from elsewhere.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if _OURS in Path(last.filename).parents:
            raise
        raise InputError(
            f"{what} cannot be built ({first_line(error)}, in {last.name}): correct {keys}"
        ) from error
