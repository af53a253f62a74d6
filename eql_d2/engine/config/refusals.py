"""What the parts of a training say of their arguments, before any is built for good."""

from collections.abc import Callable, Iterator

from ...exceptions import InputError


def refusal(build: Callable, *args: object) -> Iterator[str]:
    """The line with which a call refuses its arguments, if it does."""
    try:
        build(*args)
    except InputError as error:
        yield str(error)
    except Exception:  # of a loss of the user's own, which may want the data: the model will tell
        return
