"""A resumed training goes on as if it had never been interrupted.

Guards against what Detectron2 loses on the way: the place in the order of the training data, and
the random numbers of augmentations and of the model. Neither is kept: both are a function of the
seed and the iteration, so a checkpoint of Detectron2's, which has the iteration, can be resumed
too.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from ..data import ResumableLoader, get_order, resumable, set_order
from ..distributed import from_main_process
from ..drawn_seed import write_drawn_seed
from ..random_numbers import STEP, seed_all

logger = logging.getLogger(__name__)


class ExactResumeHook(HookBase):
    """Gives each step the random numbers and the batch that belong to its iteration.

    Whatever ran before, an evaluation or another process, a step draws the same random numbers and
    has the same batch; on a CPU, and with deterministic kernels, it is equal to the last bit. Not
    covered are augmentations with generators of their own, Detectron2's PreciseBN, and loaders that
    are not Detectron2's, of which a warning tells.

    Of a checkpoint it takes up little: the seed, which may have been drawn, the seeds of the
    sampler, and what else the order depends on, to warn if that has changed. Detectron2 ignores it.

    Place it first, in all processes.

    Args:
        seed: ``SEED`` (LazyConfig: ``train.seed``); below 0 one is drawn, as in Detectron2.
        output_dir: for the report a seed that is drawn is written there.
    """

    def __init__(self, seed: int, output_dir: str | os.PathLike):
        self._given, self._output_dir = seed, output_dir
        self._state, self._found = {}, None

    def state_dict(self) -> dict[str, Any]:
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._found = state

    def before_train(self) -> None:
        # The trainer of a yaml config has another inside.
        trainer = getattr(self.trainer, "_trainer", self.trainer)
        loader = resumable(trainer.data_loader)
        settings = {"SEED": self._given} | (loader.describe() if loader else {})
        self._take_up(settings, loader)
        if loader is None:
            logger.warning(_not_resumable(trainer.data_loader))
            return
        if not get_order(loader.sampler):
            logger.warning(
                f"{type(loader.sampler).__name__} is not a training sampler of Detectron2: a "
                "resumed training goes on in the same order only if the sampler has the same order "
                "each time that it is built"
            )
        loader.seed, loader.start = self._state["seed"], self.trainer.start_iter
        trainer.data_loader = loader

    def before_step(self) -> None:
        seed_all(self._state["seed"], STEP, comm.get_rank(), self.trainer.iter)

    def _take_up(self, settings: dict[str, Any], loader: ResumableLoader | None) -> None:
        """Seeds of the interrupted training, and a word on what is not as it was."""
        resumed, found = self.trainer.start_iter > 0, self._found or {}
        was = found.get("settings", {})
        same_seed = resumed and was.get("SEED") == self._given
        if same_seed and loader:
            set_order(loader.sampler, found["order"])
        self._state = {
            "seed": self._seed(found["seed"] if same_seed else None),
            "order": get_order(loader.sampler) if loader else {},
            "settings": settings,
        }
        changed = [
            f"{name} (was {was.get(name)}, is {settings.get(name)})"
            for name in dict.fromkeys([*was, *settings])
            if was.get(name) != settings.get(name)
        ]
        if resumed and not found:
            logger.warning(
                "The checkpoint does not say in which order the training data were, as those of "
                "Detectron2 do not: they go on in that of SEED, at this iteration"
            )
        elif resumed and changed:
            logger.warning(
                "The training data go on in another order than before the interruption, because "
                f"of {', '.join(changed)}"
            )

    def _seed(self, found: int | None) -> int:
        """The seed that was given, else that of the checkpoint, else one that is drawn."""
        if self._given >= 0:
            return self._given

        def keep() -> int:
            seed = secrets.randbits(31) if found is None else found
            if self._output_dir:
                write_drawn_seed(self._output_dir, seed)
            return seed

        seed = from_main_process(keep)
        if found is None:
            logger.info(f"SEED is {self._given}: {seed} is drawn, and kept in the checkpoints")
        return seed


def _not_resumable(loader: Iterable) -> str:
    return (
        f"The order of the training data does not outlive an interruption: {type(loader).__name__} "
        "is not a loader of Detectron2 with a sampler (build_detection_train_loader)"
    )
