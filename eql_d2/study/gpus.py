"""Which GPUs a trial has: its own, so that none waits for another or takes its memory."""

import os

import torch

from ..exceptions import InputError
from .plan import Study, Trial


def visible_gpus() -> list[str]:
    """GPUs of this machine as ``CUDA_VISIBLE_DEVICES`` names them; of those that it names already,
    if it is set."""
    names = [str(i) for i in range(torch.cuda.device_count())]
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.replace(" ", "").split(",")[: len(names)] if given else names


class FreeGpus:
    """The GPUs that no trial has.

    Args:
        study: of which the trials are.

    Raises:
        InputError: a trial asks for more than there are.
    """

    def __init__(self, study: Study):
        self._free = visible_gpus()
        self._taken: dict[Trial, list[str]] = {}
        self._each = study.gpus
        self.count = len(self._free)
        if 0 < self.count < max(trial.gpus for trial in study.trials):
            raise InputError(
                f"gpus is {study.gpus}, but this machine has {self.count}: give {self.count} or "
                "fewer"
            )

    @property
    def words(self) -> str:
        """What is to be known of a machine that has some."""
        return (
            f", as far as the GPUs go (of {self.count} each takes {self._each})"
            if self.count
            else ""
        )

    def has_for(self, trial: Trial) -> bool:
        return self.count == 0 or trial.gpus <= len(self._free)

    def take(self, trial: Trial) -> dict[str, str]:
        """Environment of the trial's process, which shows it its GPUs alone."""
        if self.count == 0 or trial.gpus == 0:
            return {}
        taken = [self._free.pop(0) for _ in range(trial.gpus)]
        self._taken[trial] = taken
        return {"CUDA_VISIBLE_DEVICES": ",".join(taken)}

    def give_back(self, trial: Trial) -> None:
        self._free += self._taken.pop(trial, [])
