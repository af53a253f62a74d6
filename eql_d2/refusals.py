"""What others say of the arguments that a config gives them, as lines without a traceback."""

import contextlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from .exceptions import InputError
from .messages import first_line

_OURS = Path(__file__).parent


def refusal(build: Callable, *args: object) -> Iterator[str]:
    """The line with which a call refuses its arguments, if it does: before any is built for good.

    Not everything can be known so: a loss of the user's own may want the data.
    """
    try:
        build(*args)
    except InputError as error:
        yield str(error)
    except Exception:  # the model will tell
        return


@contextlib.contextmanager
def building(what: str, keys: str) -> Iterator[None]:
    """Turn an error that arises in other code than ours into one line; ours keeps its traceback.

    Detectron2 or PyTorch refuse what cannot be known beforehand: a depth that Detectron2's ResNet
    does not have, features that another part does not give, an argument that a class hands on.

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
