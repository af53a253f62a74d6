"""One page for a run, or for several side by side: ``report.html``, which needs no other file."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..exceptions import InputError
from ..files import check_local
from . import figures
from .categories import table_of_categories
from .drawing import ReportFigure
from .examples import draw_examples
from .facts import (
    differences_between,
    differences_from_defaults,
    different_seeds,
    has_defaults,
    run_facts,
)
from .headline import headline
from .rendering import save_figures, write_page
from .run import Run, load_run, scores_of

_PAGE = "report.html"


def write_report(
    output_dirs: Sequence[str | os.PathLike],
    path: str | os.PathLike | None = None,
    tables: Sequence[tuple[str, list[str], list[list[str]]]] = (),
) -> Path:
    """Write the page of a run, or of several compared with the first.

    What a run does not have is left out; the page says so. The figures are also written as PNG
    files, to ``figures/`` beside the page.

    Args:
        output_dirs: OUTPUT_DIR of each run, the baseline first.
        path: of the page; None for ``report.html`` in the OUTPUT_DIR, or in the last folder that
            the OUTPUT_DIRs have in common.
        tables: title, header and rows of what is to stand above all else, such as means over seeds.

    Returns:
        Path of the page.

    Raises:
        InputError: a folder does not exist, holds nothing of a training or is named twice, there is
            no common folder, or none is given.
    """
    if not output_dirs:
        raise InputError("no OUTPUT_DIR is given: name the folder of a training")
    if path is not None:
        check_local(path, "--output")
    path = _default_path(output_dirs) if path is None else Path(path)
    runs = [load_run(output_dir) for output_dir in output_dirs]
    _give_own_names(runs)
    problems = [
        f"{run.name}: {problem}" if len(runs) > 1 else problem
        for run in runs
        for problem in run.problems
    ]
    problems += filter(None, [different_seeds(runs)])
    drawn = save_figures(_draw(runs, problems), path.parent / "figures")
    table = table_of_categories(runs, problems)
    examples = draw_examples(runs, problems)
    names = [run.name for run in runs]
    write_page(
        path,
        "run.html",
        title=_title(names),
        several=len(runs) > 1,
        many=len(runs) > 2,
        problems=problems,
        tables=tables,
        results=headline(runs),
        figures=drawn,
        table=table,
        examples=examples,
        facts=run_facts(runs),
        between=differences_between(runs),
        from_defaults=differences_from_defaults(runs),
        has_defaults=has_defaults(runs),
    )
    return path


def _title(names: Sequence[str]) -> str:
    first, *others = names
    if not others:
        return first
    compared = ", ".join(others) if len(others) < 3 else f"{len(others)} runs"
    return f"{compared} against {first}"


def _default_path(output_dirs: Sequence[str | os.PathLike]) -> Path:
    folders = [Path(output_dir).resolve() for output_dir in output_dirs]
    if len(folders) == 1:
        return Path(output_dirs[0]) / _PAGE
    common = Path(os.path.commonpath(folders))
    if common == Path(common.anchor):
        raise InputError(f"{', '.join(map(str, folders))} have no folder in common: give --output")
    return common / _PAGE


def _give_own_names(runs: Sequence[Run]) -> None:
    """Name runs by more of their path where the last folder does not tell them apart."""
    folders = [run.output_dir.resolve() for run in runs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise InputError(f"{folder} is named twice: give each OUTPUT_DIR once")
    if len({run.name for run in runs}) < len(runs):
        common = os.path.commonpath(folders)
        for run, folder in zip(runs, folders):
            run.name = os.path.relpath(folder, common)


def _draw(runs: Sequence[Run], problems: list[str]) -> Iterator[ReportFigure]:
    """All figures that the runs allow."""
    recorded = [run for run in runs if run.record]
    of_record = figures.ratio_by_frequency, figures.gradients_by_category, figures.ratio_over_time
    drawings = [(draw, recorded) for draw in of_record if recorded]
    for task in dict.fromkeys(task for run in runs for task in run.tables):
        tested = [run for run in runs if task in run.tables]
        scored = [run for run in tested if np.isfinite(scores_of(run.tables[task])).any()]
        if scored:
            drawings.append((figures.score_by_image_count, scored, task))
        if len(scored) > 1 and scored[0] is runs[0]:
            drawings.append((figures.compare_runs, scored, task))
    for draw, *arguments in drawings:
        try:
            yield draw(*arguments)
        except InputError as error:
            problems.append(str(error))
