"""Detectron2's checkpointer, with files that cannot be torn and contents that are looked at."""

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from ..distributed import from_main_process
from ..exceptions import InputError, TrainingError
from ..files import check_local
from .contents import EMA, averaged_weights, check_background, check_fit, check_values, not_finite
from .durable_files import (
    check_checksum,
    read_tag,
    remove_leftovers,
    remove_old,
    write_durably,
    write_tag,
)
from .newest import newest_checkpoint, read_lazily
from .torchvision_resnet import for_resnets_of, is_torchvision_resnet
from .trusted_files import check_pickle, load_tensors

logger = logging.getLogger(__name__)


class EQLCheckpointer(DetectionCheckpointer):
    """``DetectionCheckpointer`` that tears no file, and refuses what it cannot load or should not.

    How it writes: see :mod:`.durable_files`; what it resumes from: :mod:`.newest`; what may be in a
    file: :mod:`.trusted_files` and :mod:`.contents`. All that it writes Detectron2 can read.

    It also loads the files of torchvision's ResNets, by their names, into Detectron2's ``ResNet``.

    A file may hold an average of the model under "model_ema": the state of an ``AveragedModel`` of
    PyTorch. To resume a training, model and average are loaded as they are; whatever else a file is
    loaded for, the model gets the averaged weights.

    Args:
        model: to save or load.
        save_dir: folder of the checkpoints.
        keep: newest periodic checkpoints (``model_0004999.pth``) that are kept, also of earlier
            processes; 0 keeps all. ``model_final.pth`` and ``model_best.pth`` always stay.
        model_ema: average of the model, which is saved and resumed with it; None for none.
        **others: of ``DetectionCheckpointer``. One that has nothing to load but the model is taken
            to evaluate it, which asks for more of a file: :func:`.contents.check_fit`.

    Attributes:
        saved_iteration: of the last file that was written; None before that.

    Raises:
        InputError: the folder is of another file system (``s3://``); on loading a file that is
            missing, damaged or of another model; that could run code; whose values cannot be; or
            whose box classifier has one column per class and none for the background
            (eql.detectron2).
        TrainingError: on saving what is not finite, or to a disk that is full. The files that are
            there stay as they are.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        keep: int = 0,
        model_ema: nn.Module | None = None,
        **others: Any,
    ):
        check_local(save_dir, "OUTPUT_DIR")
        super().__init__(model, save_dir, **others)
        if model_ema is not None:
            self.add_checkpointable(EMA, model_ema)
        self.saved_iteration: int | None = None
        self._keep = keep
        self._loading, self._resumes = "", False

    def save(self, name: str, **kwargs: Any) -> None:
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        data |= kwargs
        folder, path = Path(self.save_dir), Path(self.save_dir, f"{name}.pth")
        wrong = not_finite(data)
        if wrong:
            raise TrainingError(
                f"{wrong} holds NaN or infinity, so {path.name} is not saved: start again with "
                f"--resume from {read_tag(folder) or 'the beginning'}, with a lower learning rate "
                "or clipped gradients"
            )
        self.logger.info(f"Saving checkpoint to {path}")
        write_durably(path, lambda file: torch.save(data, file), _check_loads)
        write_tag(folder, path.name)
        remove_old(folder, path.name, self._keep)
        self.saved_iteration = kwargs.get("iteration")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        write_tag(Path(self.save_dir), last_filename_basename)

    def newest(self) -> str:
        """The newest whole checkpoint of the folder, or "". Collective: the main process looks.

        Raises:
            InputError: there are checkpoints, but none is whole.
        """
        needed = [key for key in self.checkpointables if key != EMA]  # it may be new
        return from_main_process(lambda: newest_checkpoint(self.save_dir, needed))

    def training_state(self, path: str) -> dict[str, Any]:
        """State of the trainer in a checkpoint of :meth:`newest`, to be looked at beforehand."""
        return read_lazily(Path(path))["trainer"]

    def remove_leftovers(self) -> None:
        """Remove what a killed training left half-written in the folder. Not while one runs."""
        if self.save_dir and self.save_to_disk:
            removed = remove_leftovers(Path(self.save_dir))
            if removed:
                logger.info(f"Removed leftovers of an earlier process: {', '.join(removed)}")

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        newest = self.newest() if resume else ""
        return self.load(newest) if newest else self.load(path, checkpointables=[])

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        # Detectron2 takes options after a question mark: model.pth?matching_heuristics=True
        if path and "://" not in path and not os.path.isfile(path.split("?")[0]):
            raise InputError(f"checkpoint {path!r} does not exist: check MODEL.WEIGHTS")
        self._loading = path
        self._resumes = bool(self.checkpointables if checkpointables is None else checkpointables)
        try:
            return super().load(path, checkpointables)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            # Of what a file holds, and of optimizers for other parameters.
            raise InputError(
                f"checkpoint {path!r} cannot be loaded ({_first_line(error)}): it is damaged or of "
                "another config, use the one it was saved with"
            ) from error

    def _load_file(self, filename: str) -> dict[str, Any]:
        check_checksum(filename)
        if filename.endswith(".pkl"):
            check_pickle(filename)
        try:
            if filename.endswith(".pyth"):
                load_tensors(filename)
            content = super()._load_file(filename)
        except InputError:
            raise
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(
                f"checkpoint {filename!r} cannot be read ({_first_line(error)}): it may be cut "
                "off, copy it again or use an earlier one"
            ) from error
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise InputError(f"checkpoint {filename!r} holds no model: give one with a state dict")
        return content

    def _torch_load(self, f: str) -> Any:
        return load_tensors(f)

    def _load_model(self, checkpoint: dict[str, Any]):
        if EMA in checkpoint:
            self._take_average(checkpoint)
        self._convert_ndarray_to_tensor(checkpoint["model"])
        if is_torchvision_resnet(checkpoint["model"]):
            checkpoint["model"] = for_resnets_of(self.model, checkpoint["model"])
        weights, own = checkpoint["model"], self.model.state_dict()
        check_values(weights, self._loading)
        check_background(weights, own)
        statistics = [
            name
            for name in own
            if name.endswith("statistics.pos_grad")
            and name in weights
            and weights[name].shape == own[name].shape
        ]
        incompatible = super()._load_model(checkpoint)
        if statistics:
            logger.info(f"Loaded gradient statistics from the checkpoint: {', '.join(statistics)}")
        return incompatible

    def _take_average(self, checkpoint: dict[str, Any]) -> None:
        if self._resumes and EMA not in self.checkpointables:
            logger.warning(
                f"{self._loading} holds an averaged model (EMA) besides the model, and the config "
                "asks for none: the training goes on without"
            )
            return
        weights = averaged_weights(checkpoint[EMA], self._loading)
        if self._resumes:
            check_values(weights, self._loading)  # what the model gets is checked in any case
        else:
            checkpoint["model"] = weights
            del checkpoint[EMA]
            logger.info(f"{self._loading} holds an averaged model (EMA): that is what is loaded")

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        check_fit(
            self.model,
            incompatible.missing_keys,
            incompatible.unexpected_keys,
            self._loading,
            evaluates=not self.checkpointables,
        )
        super()._log_incompatible_keys(incompatible)


def _check_loads(path: Path) -> None:
    """Better now than when the training is to be resumed; no tensor is read."""
    try:
        load_tensors(str(path), mmap=True)
    except InputError as error:
        raise TrainingError(
            f"{path.stem} cannot be saved, for it could not be resumed from: {error}; a hook or "
            "another part that saves its state may hold tensors and numbers of Python only"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
