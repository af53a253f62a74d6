"""Run a study: runs times seeds, each a ``train_net.py`` in a process with one thread.

    python -m eql_d2.study STUDY.yaml [--jobs N]

Interrupted, killed or failed, the same command goes on: what is finished is not done again, the
rest starts from its beginning, so that the numbers are those of a study without interruption.
Refused are finished results of other settings, annotations or initial weights than there are now;
class folders are compared by the names and sizes of their images, other images not at all.

STUDY.yaml; only ``seeds`` and ``runs`` are needed::

    output: output/study/onestage     # default: output/study/<name of the file>
    jobs: 2                           # trials at a time, 1 if not given
    gpus: 1                           # of each trial, its own, on a machine with GPUs
    seeds: [1, 2, 3]
    baseline: focal                   # the first run if not given
    # module: eql_d2.demo.lvis_shaped # if given, started in the place of train_net.py
    data:
      generate: glyphs                # or other_glyphs, glyph_crops, glyph_maps: in
                                      # datasets/<name>, made once, registered as <name>_train
                                      # and <name>_val
      options: [--dataset, my_train, train.json, images/]   # others, as train_net.py takes them
    config: configs/Demo/glyphs_focal.yaml                  # of all runs without one
    overrides: {SOLVER.MAX_ITER: 1600}                      # of all runs
    runs:
      focal: {}
      efl: {config: configs/Demo/glyphs_efl.yaml, overrides: {MODEL.EQL.PRIOR_PROB: 0.03}}
      all_scores: {weights_of: focal, overrides: {MODEL.RETINANET.SCORE_THRESH_TEST: 0.0}}

A run with ``weights_of`` trains nothing: it evaluates the last weights of that run and seed, with
its config and overrides if it has no config of its own. Paths are relative to the current
directory; a config ``configs/...`` that is not there is the one that comes with the package.

In the folder: ``<run>/seed<k>/`` is an OUTPUT_DIR with a ``log`` and a ``run.json``; ``table.md``
and ``table.csv`` have means, standard deviations and differences to the baseline, ``runs.csv`` the
numbers of each seed, ``report.html`` the first seed of all runs. Exit 1 if a trial has no results.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from ..report.page import write_report
from .plan import Study, read_study
from .processes import one_line_exits
from .results import Outcome, read_outcomes, summarize
from .runner import run_study
from .table import markdown, study_tables, write_tables


def finish_study(study: Study) -> list[Outcome]:
    """Write and print the results of a study that has been run.

    Returns:
        Outcomes of all trials.
    """
    outcomes = read_outcomes(study)
    summaries = summarize(outcomes, study.baseline)
    tables = study_tables(study, outcomes, summaries)
    text = markdown(study, outcomes, summaries, tables)
    paths = write_tables(study, outcomes, summaries, text)
    print(f"\n{text}", flush=True)
    folders = _compared(study, outcomes)
    if folders:
        paths.append(write_report(folders, study.output / "report.html", tables))
    print("\n".join(map(str, paths)))
    return outcomes


def _compared(study: Study, outcomes: Sequence[Outcome]) -> list[Path]:
    """Folders of the first seed whose baseline is finished, the baseline first."""
    finished = [outcome.trial for outcome in outcomes if not outcome.problem]
    of_baseline = next((trial for trial in finished if trial.run == study.baseline), None)
    if of_baseline is None:
        return []
    others = [trial for trial in finished if trial.seed == of_baseline.seed]
    return [of_baseline.folder, *(t.folder for t in others if t.run != study.baseline)]


def main(prog: str = "python -m eql_d2.study") -> None:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help="what is run")
    parser.add_argument("--jobs", type=int, metavar="N", help="trials at a time, for the file's")
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs is {args.jobs}: give 1 or more")
    with one_line_exits():
        study = read_study(args.study)
        if args.jobs is not None:
            study = dataclasses.replace(study, jobs=args.jobs)
        run_study(study)
        outcomes = finish_study(study)
    sys.exit(int(any(outcome.problem for outcome in outcomes)))


if __name__ == "__main__":
    main()
