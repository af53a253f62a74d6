"""Train every config of the zoo for two steps and evaluate it, on a CPU and miniature data sets.

python -m tests.zoo [CONFIG ...] [--jobs N]
"""

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tabulate import tabulate

from tests.miniatures import make_miniatures

from .configs import leaves, name_of
from .runner import Outcome, prepare, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", type=Path, help="all by default")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread (default 2)")
    parser.add_argument(
        "--logs", type=Path, default=Path("output/zoo"), help="of runs that fail (output/zoo)"
    )
    args = parser.parse_args()
    configs = [path.absolute() for path in args.configs] or leaves()
    missing = [path for path in configs if not path.is_file()]
    if missing:
        parser.error(f"{missing[0]} does not exist")
    outcomes = run_all(configs, args.jobs, args.logs.absolute())
    print(table(outcomes))
    sys.exit(any(outcome.error for outcome in outcomes))


def run_all(configs: list[Path], jobs: int, logs: Path) -> list[Outcome]:
    """The outcomes in the order of the configs; each is printed when it is known."""
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zoo") as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name)
        os.environ["OMP_NUM_THREADS"] = "1"
        prepare(folder)
        make_miniatures(folder / "datasets")
        runs = [pool.submit(run, config, folder, logs) for config in configs]
        for number, done in enumerate(as_completed(runs), start=1):
            outcome = done.result()
            print(f"[{number}/{len(runs)}] {line(outcome)}", flush=True)
        return [done.result() for done in runs]


def line(outcome: Outcome) -> str:
    state = f"failed: {outcome.error}" if outcome.error else "ok"
    return f"{name_of(outcome.config)}  {state}  {outcome.seconds:.0f} s"


def table(outcomes: list[Outcome]) -> str:
    rows = [(name_of(o.config), o.error[:100] or "ok", round(o.seconds)) for o in outcomes]
    failed = sum(bool(outcome.error) for outcome in outcomes)
    return (
        tabulate(rows, headers=("config", "result", "seconds"))
        + f"\n{len(rows)} configs, {failed} failed, {sum(row[-1] for row in rows)} seconds"
    )


if __name__ == "__main__":
    main()
