"""What an evaluation needs is looked for before the training that would end with it."""

import contextlib
from collections.abc import Callable, Iterable, Sequence

from ..data import check_test_images
from ..refusals import building


def check_evaluation(
    names: Sequence[str],
    build_loader: Callable[[], Iterable],
    build_evaluator: Callable[[], object],
) -> None:
    """Build what an evaluation is made of, and look for its images.

    Args:
        names: of the test data.
        build_loader, build_evaluator: as for the evaluation.

    Raises:
        InputError: there is no evaluator for the data, or one of the two cannot be built; an image
            is missing, or one of an even sample cannot be used.
    """
    what, fix = ", ".join(map(repr, names)), "the test data, or leave them out of the config"
    with building(f"the loader of {what}", fix):
        check_test_images(names, build_loader)
    # Without one Detectron2 skips the evaluation.
    with building(f"the evaluator of {what}", fix), contextlib.suppress(NotImplementedError):
        build_evaluator()
