"""Files that decide the numbers of a trial besides its settings."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

# Paths, and whether their contents count, or names and sizes alone
Inputs = tuple[tuple[str, bool], ...]


def inputs_of(cfg: CfgNode, trains: bool) -> Inputs:
    """Absolute paths of annotations, class folders, proposals and initial weights.

    Images are not among them. Of a folder of images for each class names and sizes count, since
    the folders are its annotations; of label maps all.

    Args:
        cfg: of a run, with its own data.
        trains: whether it begins with the weights that `cfg` names.
    """
    found = {str(Path.cwd() / path): whole for path, whole in _paths(cfg, trains)}
    return tuple(found.items())


def _paths(cfg: CfgNode, trains: bool) -> Iterator[tuple[str, bool]]:
    sets = cfg.DATASETS
    names = (*sets.TRAIN, *sets.TEST)
    yield from ((path, True) for name, path, *_ in sets.JSON if name in names)
    yield from ((path, False) for name, path, *_ in sets.CLASS_FOLDERS if name in names)
    for name, _, maps, classes in sets.MASK_FOLDERS:
        yield from ((path, True) for path in (maps, classes) if name in names)
    for name in filter(DatasetCatalog.list().__contains__, names):
        metadata = MetadataCatalog.get(name)
        paths = (metadata.get(key) for key in ("json_file", "sem_seg_root"))
        yield from ((path, True) for path in paths if path)
    if cfg.MODEL.LOAD_PROPOSALS:
        files = (*sets.PROPOSAL_FILES_TRAIN, *sets.PROPOSAL_FILES_TEST)
        yield from ((path, True) for path in files)
    if trains and cfg.MODEL.WEIGHTS:
        yield cfg.MODEL.WEIGHTS.partition("?")[0], True


def fingerprint(path: str, whole: bool) -> str:
    """Of the contents, or of the names and sizes alone."""
    digest = hashlib.sha256()
    path = Path(path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        if whole:
            with open(file, "rb") as opened:
                while chunk := opened.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()
