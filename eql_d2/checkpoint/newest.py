"""Which checkpoint of a folder a training goes on with.

Guards against a restart at 0 while good files lie in the folder, and against going on with a file
that is torn, damaged or of a training gone astray. ``last_checkpoint`` is believed as long as the
file it names is whole, also where the folder holds a higher iteration, of an earlier training or of
a process that was killed before it could move the tag; otherwise the whole one with the highest
iteration is taken.
"""

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..exceptions import InputError
from .contents import not_finite
from .durable_files import TAG, checksum_problem, iteration_in_name, read_tag
from .trusted_files import load_tensors

logger = logging.getLogger(__name__)


def newest_checkpoint(folder: str, needed: Sequence[str]) -> str:
    """The newest whole checkpoint of a folder, or "" where it has none at all.

    One line says what was passed over, and why.

    Args:
        folder: of a training.
        needed: what must be in the file besides the model: "trainer" to train.

    Raises:
        InputError: there are checkpoints, but none is whole.
    """
    passed_over = []
    for path in _candidates(Path(folder), passed_over):
        problem = _problem_of(path, needed)
        if problem is None:
            if passed_over:
                logger.warning(f"Resuming from {path}, not from {'; '.join(passed_over)}")
            return str(path)
        passed_over.append(f"{path.name}, which {problem}")
    if not passed_over:
        return ""
    raise InputError(
        f"no whole checkpoint in {folder!r}: {'; '.join(passed_over)}. Put a good one there, or to "
        f"start anew remove these files and {TAG}"
    )


def _candidates(folder: Path, passed_over: list[str]):
    """Paths of possible checkpoints, the most wanted first; reads no more of them than need be."""
    tag = read_tag(folder)
    if tag is not None:
        problem = _problem_of_tag(folder, tag)
        if problem is None:
            yield folder / tag
        else:
            passed_over.append(f"{TAG}, which {problem}")
    others = [path for path in folder.glob("*.pth") if path.name != tag]
    dated = [(_iteration_of(path), path) for path in others]
    # Files that are readable but no checkpoints of a training have no iteration: weights.
    for _, path in sorted(((i, path) for i, path in dated if i is not None), reverse=True):
        yield path


def _problem_of_tag(folder: Path, tag: str) -> str | None:
    if not tag:
        return "is empty"
    if Path(tag).name != tag:
        return f"names {tag!r}, not a file of this folder"
    if not tag.endswith(".pth"):
        return f"names {tag!r}, no .pth file"
    if not (folder / tag).is_file():
        return f"names {tag!r}, which is not there"
    return None


def _iteration_of(path: Path) -> int | None:
    """Iteration of a checkpoint; None for weights without one, -1 if that cannot be read."""
    iteration = iteration_in_name(path)
    if iteration is not None:
        return iteration
    try:
        content = read_lazily(path)
    except Exception:
        return -1
    iteration = content.get("iteration") if isinstance(content, dict) else None
    return iteration if isinstance(iteration, int) else None


def _problem_of(path: Path, needed: Sequence[str]) -> str | None:
    """Why a file is not to be gone on with; None if it is whole."""
    try:
        problem = checksum_problem(path)
        if problem:
            return problem
        content = read_lazily(path)
    except InputError as error:
        return f"is refused ({error})"
    except Exception as error:  # a damaged file may fail anywhere in the reader
        return f"cannot be read ({type(error).__name__})"
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        return "holds no model"
    if any(key not in content for key in needed):
        return "holds no state of a training"
    name = not_finite(content)
    return f"holds NaN or infinity in {name}" if name else None


def read_lazily(path: Path) -> Any:
    """The content of a file; its tensors are read when they are looked at, if need be."""
    return load_tensors(str(path), mmap=zipfile.is_zipfile(path))
