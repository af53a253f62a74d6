"""The user's own data sets, as options of train_net.py or keys of a config name them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...exceptions import InputError
from ..validation.limits import Limits
from .class_folders import register_class_folder
from .json_instances import register_json_instances
from .long_tail import LongTail
from .mask_folders import register_mask_folder


def with_names(words: Iterable[str]) -> list[str]:
    """Words of a command, with the name that ``--dataset JSON IMAGES`` leaves out: that of the file
    without its ending. ``--dataset NAME JSON IMAGES`` stays as it is."""
    named = list(words)
    for i in reversed(range(len(named) - 1)):
        after, second = named[i + 1], "".join(named[i + 2 : i + 3])
        if named[i] == "--dataset" and _is_json(after) and not _is_json(second):
            named.insert(i + 1, Path(after).stem)
    return named


def _is_json(word: str) -> bool:
    return word.lower().endswith(".json")


def register_own_data(
    json_files: Iterable[Sequence] = (),
    class_folders: Iterable[Sequence] = (),
    mask_folders: Iterable[Sequence] = (),
    limits: Limits = Limits(),
) -> None:
    """Register any number of data sets.

    Args:
        json_files: entries of ``DATASETS.JSON``: (name, file, image folder) or (name, file, image
            folder, factor, seed), see :func:`register_json_instances`.
        class_folders: entries of ``DATASETS.CLASS_FOLDERS``: (name, folder) or (name, folder,
            factor, seed), see :func:`register_class_folder`.
        mask_folders: entries of ``DATASETS.MASK_FOLDERS``, see :func:`register_mask_folder`.
        limits: of the images.

    Raises:
        InputError: an entry has another length; or as the functions named.
    """
    for key, lengths, register, entries in (
        ("JSON", (3, 5), _register_json_instances, json_files),
        ("CLASS_FOLDERS", (2, 4), _register_class_folder, class_folders),
        ("MASK_FOLDERS", (4,), register_mask_folder, mask_folders),
    ):
        for entry in entries:
            if len(entry) not in lengths:
                raise InputError(
                    f"DATASETS.{key} has the entry {tuple(entry)}: give "
                    f"{' or '.join(map(str, lengths))} values, see config/defaults.py"
                )
            register(*entry, limits=limits)


def _register_json_instances(
    name: str, json_file: str, image_root: str, *long_tail, limits: Limits
) -> None:
    long_tail = LongTail(*long_tail) if long_tail else None
    register_json_instances(name, json_file, image_root, long_tail=long_tail, limits=limits)


def _register_class_folder(name: str, folder: str, *long_tail, limits: Limits) -> None:
    long_tail = LongTail(*long_tail) if long_tail else None
    register_class_folder(name, folder, long_tail=long_tail, limits=limits)
