"""See the package."""

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence

from tests.fuzz import (
    annotations,
    checkpoints,
    class_folders,
    command_lines,
    config_files,
    config_values,
    images,
    lists,
    mask_folders,
)
from tests.fuzz.runner import OK, ONE_LINE, count_ends, run_cases

# Cases, and their weight: how much there is to get wrong
KINDS = {
    "annotations": (annotations.cases, 8),
    "images": (images.cases, 2),
    "class folders": (class_folders.cases, 2),
    "mask folders": (mask_folders.cases, 2),
    "lists": (lists.cases, 2),
    "config values": (config_values.cases, 4),
    "config files": (config_files.cases, 2),
    "command lines": (command_lines.cases, 2),
    "checkpoints": (checkpoints.cases, 4),
}
DATA = ("annotations", "images", "class folders", "mask folders", "lists")


def share(number: int, kinds: Sequence[str]) -> dict[str, int]:
    """How many of a number of cases are of each kind."""
    total = sum(KINDS[kind][1] for kind in kinds)
    return {kind: -(-number * KINDS[kind][1] // total) for kind in kinds}


def fuzz(number: int, kinds: Sequence[str], seed: int) -> bool:
    """Run cases, print their ends by kind and each bad one; whether there is none."""
    good = True
    for kind, count in share(number, kinds).items():
        results = run_cases(KINDS[kind][0](seed), count)
        ends = ", ".join(f"{end} {n}" for end, n in sorted(count_ends(results).items()))
        print(f"{kind}: {len(results)} cases: {ends}", flush=True)
        for result in results:
            if result.end not in (OK, ONE_LINE):
                good = False
                print(f"--- {kind}, {result.name}: {result.end}\n{result.detail}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--kind", action="append", choices=KINDS, default=[])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    sys.exit(not fuzz(args.cases, args.kind or list(KINDS), args.seed))


if __name__ == "__main__":
    main()
