"""An annotation file with the repairs that lose nothing, beside the original."""

import json
import os

from ...exceptions import InputError
from ...files import open_atomic, read_json
from .annotations import check_annotations
from .findings import Findings
from .limits import Limits
from .listed_images import is_federated
from .mending import mend
from .repairs import fill_absent_fields, make_integers


def write_repaired(json_file: str, path: str, image_root: str, limits: Limits) -> list[str]:
    """Write the repaired content of an annotation file; it appears complete or not at all.

    Absent areas are filled only if nothing else is wrong: they are those of the masks.

    Args:
        json_file: the original, which stays as it is.
        path: of the new file.
        image_root, limits: see :func:`read_annotations`.

    Returns:
        What has been done, a line each.

    Raises:
        InputError: the original cannot be read or is of another format, or `path` is the original.
    """
    data = read_json(json_file)
    for written in (path, f"{path}.tmp"):  # the second until it is complete
        if os.path.exists(written) and os.path.samefile(json_file, written):
            raise InputError(f"--write would replace {json_file!r}: name another file")
    findings = Findings()
    if not check_annotations(findings, f"annotation file {json_file!r}", data, image_root, limits):
        findings.raise_error()
    done = make_integers(data) + mend(data, image_root, limits)
    findings = Findings()
    check_annotations(findings, "", data, image_root, limits)
    if not findings.errors:
        with_crowd = not is_federated(data["images"])
        filled = fill_absent_fields(data["annotations"], data["images"], with_crowd=with_crowd)
        done += [f"{count:,} absent {key} filled" for key, count in filled.items() if count]
    try:
        with open_atomic(path) as file:
            # In one piece: json.dump() writes through the slower encoder that is not compiled.
            file.write(json.dumps(data))
    except OSError as error:
        raise InputError(f"cannot write {path!r}: {error.strerror}; choose another path") from error
    return [*(done or ["nothing to repair without loss"]), f"written to {path}"]
