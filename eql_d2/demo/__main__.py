"""The demo: one model trained twice on a long-tailed data set, without and with equalization.

    python -m eql_d2.demo [--task TASK] [--iters N] [--seed S]

It is a study of two runs and one seed (:mod:`eql_d2.study`), anew each time: it generates
the data, trains both side by side, one thread each, then prints and draws the difference.
``make demo TASK=...`` does the same.
"""

import argparse
import sys

from ..model_zoo import get_config_file
from ..report.page import write_report
from ..study.plan import Study, make_study
from ..study.processes import one_line_exits
from ..study.results import read_outcomes
from ..study.runner import run_study
from .comparisons import TASKS, Task
from .results import draw, result_table


def demo_study(name: str, task: Task, iters: int, seed: int) -> Study:
    """The study of a demo, in ``output/demo/<name>``."""
    configs = {run: get_config_file(f"Demo/{task.dataset}_{run}.yaml") for run in task.runs}
    content = {
        "output": f"output/demo/{name}",
        "jobs": len(task.runs),
        "seeds": [seed],
        "data": {"generate": task.dataset},
        "overrides": {"SOLVER.MAX_ITER": iters},
        "runs": {run: {"config": config} for run, config in configs.items()},
    }
    return make_study(content, name)


def check_trained(study: Study) -> None:
    """End the demo with the end of the log where a training has failed.

    Raises:
        SystemExit: one has.
    """
    for outcome in read_outcomes(study):
        if outcome.problem:
            log = outcome.trial.folder / "log"
            end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            sys.exit("\n".join([*end, f"training {outcome.trial.run} failed: {log}"]))


def main(prog: str = "python -m eql_d2.demo") -> None:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="twostage", help="what is trained")
    parser.add_argument("--iters", type=int, help="training steps; default: as the task needs")
    parser.add_argument("--seed", type=int, default=1, help="seed of both trainings")
    args = parser.parse_args()
    task = TASKS[args.task]
    iters = task.iters if args.iters is None else args.iters
    if iters < 20:
        parser.error(f"--iters is {iters}: give 20 or more")
    with one_line_exits():
        study = demo_study(args.task, task, iters, args.seed)
        print(f"training both for {iters} steps, seed {args.seed}", flush=True)
        run_study(study, anew=True)
        check_trained(study)
        outputs = {trial.run: trial.folder for trial in study.trials}
        draw(task, outputs, study.output / "demo.png")
        page = write_report(list(outputs.values()), study.output / "report.html")
    print(f"\n{result_table(task, outputs)}\n\nfigure: {study.output / 'demo.png'}\npage: {page}")


if __name__ == "__main__":
    main()
