"""Parts of the lines that say what is wrong: values, keys and errors from elsewhere, kept short."""

import difflib
import reprlib
from collections.abc import Iterable

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 80, 80, 30
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 6


def shown(value: object) -> str:
    """A value for a message: short, in one line, also where YAML's aliases make it endless."""
    return _REPR.repr(value)


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a line about an unknown key: a known one that looks like it, if there is one."""
    known = list(known)
    same_end = [other for other in known if other.split(".")[-1].lower() == key.lower()]
    folded = {other.lower(): other for other in known}
    close = same_end or [folded[k] for k in difflib.get_close_matches(key.lower(), folded, 1, 0.7)]
    return f"did you mean {close[0]}?" if close else "remove it, or correct its name"


def first_line(error: BaseException) -> str:
    """The message of an error from elsewhere, in one line that is not too long."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
