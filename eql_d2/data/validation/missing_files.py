"""Why a file is not where an annotation file says that it is."""

import glob
import os
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_MOST_ENTRIES = 20_000  # of folders, that are looked through for one file


def why_missing(folder: str, name: str) -> str:
    """A reason for a missing file and what to do, as the end of a sentence; "" if none is seen.

    Args:
        folder: of the images.
        name: of the file, as the data set has it.
    """
    if not os.path.isdir(folder):
        return f": folder {folder!r} does not exist"
    if "://" in name:
        found = find_by_name(folder, name.split("?")[0])
        if found:
            return f": it is a URL, and {found!r} is there: give the name below the folder"
        return ": it is a URL, download the images and name the files"
    slashed = name.replace("\\", "/")
    if slashed != name:
        if os.path.isfile(os.path.join(folder, slashed)):
            return ": it has the \\ of Windows, validate --write turns them into /"
        return f": it has the \\ of Windows{why_missing(folder, slashed).replace(':', ',', 1)}"
    reasons = (
        _doubled_folder(folder, name),
        *(
            f": the file is {found!r}, {what}"
            for path, what in _spellings(os.path.join(folder, name))
            if (found := _in_another_case(path))
        ),
        *(
            f": there is {found!r}, with another ending"
            for found in glob.glob(
                glob.escape(os.path.splitext(os.path.join(folder, name))[0]) + ".*"
            )
        ),
    )
    reason = next(filter(None, reasons), "")
    found = None if reason else find_by_name(folder, name)
    return f": there is {found!r}, correct the folder or the name" if found else reason


def existing_folder(path: str) -> str:
    """The nearest folder above a file that is there; "" for none but the root."""
    folder = os.path.dirname(path)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder.rstrip("/")


def _doubled_folder(folder: str, name: str) -> str | None:
    """The reason where a name begins with the folders at the end of the image folder."""
    parts, above = name.split("/"), os.path.abspath(folder).split(os.sep)
    for count in range(1, len(parts)):
        twice = "/".join(parts[:count])
        if above[-count:] == parts[:count] and os.path.isfile(os.path.join(folder, *parts[count:])):
            return f": {twice!r} is there twice, give the folder above for the image folder"
    return None


def _spellings(path: str) -> Iterator[tuple[str, str]]:
    """Other spellings of a path, and what they are."""
    yield path, "capitals and small letters differ"
    if unquote(path) != path:
        yield unquote(path), "the name has the % of URLs"
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, path), "its accents are other characters of Unicode"
    yield "/".join(part.strip() for part in path.split("/")), "a name begins or ends with spaces"


def _in_another_case(path: str) -> str | None:
    """The path of an existing file that differs in capitals only."""
    found = "/" if path.startswith("/") else ""
    for part in filter(None, path.split("/")):
        if os.path.lexists(os.path.join(found, part)):
            found = os.path.join(found, part)
            continue
        names = os.listdir(found or ".") if os.path.isdir(found or ".") else []
        same = [name for name in names if name.lower() == part.lower()]
        if not same:
            return None
        found = os.path.join(found, same[0])
    return found if os.path.isfile(found) else None


def find_by_name(folder: str, name: str) -> str | None:
    """The file of the same name, whatever its folder, in or below another folder."""
    wanted, entries = os.path.basename(name), 0
    for where, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if wanted in files:
            return os.path.join(where, wanted)
        if entries > _MOST_ENTRIES:
            return None
    return None
