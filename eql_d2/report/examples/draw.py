"""Examples of all tasks that the runs have results of."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...exceptions import InputError
from ..run import Run
from . import crops, detections, label_maps
from .parts import Example, rule

_MOST_BYTES = 1_000_000


class Examples(NamedTuple):
    """Examples of a task: the rule by which they were chosen, how to read them, and they."""

    rule: str
    how: str
    examples: list[Example]


class _Kind(NamedTuple):
    results: tuple[str, ...]
    draw: Callable[[Sequence[Run], str], Iterator[Example]]
    how: str


_KINDS = {
    "detections": _Kind(("segm", "bbox"), detections.detection_examples, detections.HOW),
    "classification": _Kind(("classification",), crops.crop_examples, crops.HOW),
    "label maps": _Kind(("sem_seg",), label_maps.label_map_examples, label_maps.HOW),
}


def draw_examples(runs: Sequence[Run], problems: list[str]) -> list[Examples]:
    """Examples of the rarest categories, by one rule for all tasks.

    Args:
        runs: with the same test data.
        problems: gets a line if there should be examples but something is missing.

    Returns:
        Of each kind of results that the last run has.
    """
    shown = []
    for name, kind in _KINDS.items():
        tables = list(runs[-1].tables)
        tasks = [t for end in kind.results for t in tables if t.rpartition("/")[2] == end]
        if not tasks:
            continue
        try:
            examples = _as_many_as_fit(kind.draw(runs, tasks[0]))
            shown.append(Examples(rule(len(examples)), kind.how, examples))
        # Images, annotations and predictions of any origin: no page must fail because of them.
        except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
            reason = str(error) if isinstance(error, (InputError, OSError)) else repr(error)
            problems.append(f"There are no examples of {name}: {reason}")
    return shown


def _as_many_as_fit(drawn: Iterator[Example]) -> list[Example]:
    """The first ones, as long as the page does not become too large."""
    examples, num_bytes = [], 0
    for example in drawn:
        num_bytes += sum(len(panel.address) for panel in example.panels)
        if examples and num_bytes > _MOST_BYTES:
            break
        examples.append(example)
    return examples
