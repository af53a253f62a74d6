"""Run the pages, and print the time of each block, and what is not run and why."""

import argparse
import sys
import tempfile
from pathlib import Path

from .blocks import pages, read_page
from .runner import PageError, Run, run_page, warm


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="default: all")
    runs: list[Run] = []
    with warm() as python:
        for path in parser.parse_args().pages or pages():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    runs += run_page(read_page(path), Path(folder), python)
                except (PageError, ValueError) as error:
                    sys.exit(f"error: {error}")
    for run in runs:
        first = run.block.text.strip().split("\n")[0][:60]
        what = f"not run: {run.block.reason}" if run.seconds is None else f"{run.seconds:.1f} s"
        print(f"{run.block.where}  {run.block.language}  {first!r}  {what}")
    seconds = [run.seconds for run in runs if run.seconds is not None]
    print(f"{len(runs)} blocks, {len(seconds)} run in {sum(seconds):.0f} s", end=", ")
    print(f"{len(runs) - len(seconds)} not run")


if __name__ == "__main__":
    main()
