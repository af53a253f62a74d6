"""Why a file is not where an annotation file says that it is."""

import itertools
import os

_MOST_ENTRIES = 20_000  # of folders, that are looked through for one file


def why_missing(path: str) -> str:
    """A reason for a missing file and what to do, as the end of a sentence; "" if none is seen.

    Args:
        path: image folder and name.
    """
    if "://" in path:
        return ": it is a URL, download the images and name the files"
    slashed = path.replace("\\", "/")
    if slashed != path:
        if os.path.isfile(slashed):
            return ": it has the \\ of Windows, validate --write turns them into /"
        return f": it has the \\ of Windows{why_missing(slashed).replace(':', ',', 1)}"
    parts = path.split("/")
    for i, (part, following) in enumerate(itertools.pairwise(parts)):
        shorter = "/".join(parts[:i] + parts[i + 1 :])
        if part and part == following and os.path.isfile(shorter):
            return f": {part!r} is there twice, give the folder above for the image folder"
    other_case = _in_another_case(path)
    if other_case:
        return f": the file is {other_case!r}, capitals and small letters differ"
    found = _of_that_name(path)
    return f": there is {found!r}, correct the folder or the name" if found else ""


def _in_another_case(path: str) -> str | None:
    """The path of an existing file that differs in capitals only."""
    found = "/" if path.startswith("/") else "."
    for part in filter(None, path.split("/")):
        if os.path.lexists(os.path.join(found, part)):
            found = os.path.join(found, part)
            continue
        names = os.listdir(found) if os.path.isdir(found) else []
        same = [name for name in names if name.lower() == part.lower()]
        if not same:
            return None
        found = os.path.join(found, same[0])
    return found if os.path.isfile(found) else None


def _of_that_name(path: str) -> str | None:
    """A file of the same name in the nearest folder above that exists, or below it."""
    folder, name = os.path.split(path)
    while folder and not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if not folder or folder == "/":
        return None
    entries = 0
    for where, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if name in files:
            return os.path.join(where, name)
        if entries > _MOST_ENTRIES:
            return None
    return None
