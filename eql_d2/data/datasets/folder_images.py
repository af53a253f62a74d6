"""The images below a folder, and what else lies there."""

import os
from collections import Counter
from typing import NamedTuple

from ..image_files import image_endings

# Left by file managers and archives, in lower case; hidden files are passed over, too.
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


class FolderImages(NamedTuple):
    """What is in a folder and the folders below it.

    Attributes:
        images: paths, in the order of the names: files before those of folders further down.
        others: paths of files that are no images by their ending.
        unreadable: errors of folders.
    """

    images: list[str]
    others: list[str]
    unreadable: list[OSError]

    def left_out(self) -> str:
        """How many files are no images, by their endings."""
        endings = Counter(ending_of(path) or "no ending" for path in self.others)
        kinds = ", ".join(f"{ending} {count:,}" for ending, count in endings.most_common(5))
        more = ", ..." if len(endings) > 5 else ""
        total = len(self.images) + len(self.others)
        return f"{len(self.others):,} of {total:,} files are left out ({kinds}{more})"


def find_images(folder: str) -> FolderImages:
    """Look through a folder, as torchvision's ``ImageFolder`` does: all folders below it, by links
    too, but none twice. Images are told by their ending, :func:`image_endings`; nothing is read."""
    endings, found = image_endings(), FolderImages([], [], [])
    top = os.path.realpath(folder)
    seen = {top, *_above(top)}
    for where, folders, files in os.walk(folder, onerror=found.unreadable.append, followlinks=True):
        for name in sorted(name for name in files if not is_junk(name)):
            (found.images if ending_of(name) in endings else found.others).append(
                os.path.join(where, name)
            )
        # By the path itself: of two links to a folder the first counts.
        below = {
            os.path.realpath(os.path.join(where, name)): name for name in sorted(folders)[::-1]
        }
        folders[:] = sorted(n for path, n in below.items() if not is_junk(n) and path not in seen)
        seen.update(below)
    return found


def is_junk(name: str) -> bool:
    """Whether nobody would miss a file or folder."""
    return name.startswith(".") or name.lower() in _JUNK


def ending_of(path: str) -> str:
    """In lower case, with its dot; "" if there is none."""
    return os.path.splitext(path)[1].lower()


def _above(path: str) -> list[str]:
    parent = os.path.dirname(path)
    return [parent, *_above(parent)] if parent != path else []
