"""Guards against a run that this machine cannot do: its processes, device, folders and data.

Each check yields a line for each problem; yaml configs and LazyConfigs share them.
"""

import argparse
import importlib
import os
from collections.abc import Iterable, Iterator, Sequence

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_lvis_json
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from ...exceptions import InputError
from ...files import check_local
from ...messages import first_line, nearest

# Paths in the metadata of a data set
_PATHS = (
    *("json_file", "list_file", "panoptic_json", "image_root", "image_dir", "dirname"),
    *("sem_seg_root", "gt_dir", "panoptic_root"),
)


def check_batch_size(key: str, size: int, reference: int = 0) -> Iterator[str]:
    """Lines about a batch that the processes of the run cannot share equally."""
    processes = reference or comm.get_world_size()
    if size % processes:
        yield (
            f"{key} is {size}, which {processes} processes cannot share equally: give a multiple, "
            f"for example {-(-size // processes) * processes}"
        )


def check_micro_batches(key: str, number: int, size: int, reference: int = 0) -> Iterator[str]:
    """Lines about micro-batches that are not alike."""
    images = size // (reference or comm.get_world_size())
    if images % number:
        yield (
            f"{key} is {number}, but a process has {images} images a step: give a number that "
            f"divides {images}"
        )


def check_processes(args: argparse.Namespace) -> Iterator[str]:
    """Lines about Detectron2's options for several processes, before they are started."""
    if not 0 <= args.machine_rank < args.num_machines:
        yield (
            f"--machine-rank is {args.machine_rank} and --num-machines {args.num_machines}: ranks "
            "go from 0 to one less than the machines"
        )
    if torch.cuda.is_available() and args.num_gpus > torch.cuda.device_count():
        yield f"--num-gpus is {args.num_gpus}: this machine has {torch.cuda.device_count()} GPUs"
    if args.num_machines > 1 and args.dist_url == "auto":
        yield "--dist-url is auto, for one machine: give tcp://HOST:PORT of the machine of rank 0"


def check_device(key: str, device: object) -> Iterator[str]:
    """Lines about a device that is not there.

    A GPU is only counted: what starts other processes is not to take memory of it.
    """
    try:
        found = torch.device(device)
        if found.type == "cuda" and (found.index or 0) < torch.cuda.device_count():
            return
        torch.zeros(1, device=found).cpu()
    except Exception as error:  # of what a device lacks PyTorch has many kinds
        yield f"{key} is {device!r}, which cannot be used ({first_line(error)}): give cuda or cpu"


def check_precision(key: str, enabled: object, device: object) -> Iterator[str]:
    """Lines about a training in mixed precision that Detectron2 has for GPUs only."""
    if enabled and device == "cpu":
        yield f"{key} is {enabled}, but mixed precision needs a GPU: set it to False"


def check_output_dir(key: str, path: str) -> Iterator[str]:
    """Lines about a folder that cannot be made or written to."""
    if not path:
        yield f"{key} is '': give a folder"
        return
    try:
        check_local(path, key)
    except InputError as error:
        yield from error.problems
        return
    parent = os.path.abspath(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        yield f"{key} is {path!r}, but {parent!r} is a file: give a folder"
    elif not os.access(parent, os.W_OK | os.X_OK):
        yield f"{key} is {path!r}, but {parent!r} cannot be written to: give another folder"


def check_names(key: str, names: Sequence[str], own: Iterable[str], is_needed: bool):
    """Lines about data sets that are not registered or whose files are not there.

    Args:
        key: of the config.
        names: of the data sets.
        own: names that the run is about to register; their files are checked then.
        is_needed: whether there must be one.
    """
    if is_needed and not names:
        yield f"{key} is empty: name a data set, for example {key} \"('my_data',)\""
    own = list(own)
    known = [*own, *DatasetCatalog.list()]
    for name in names:
        if name not in known:
            yield (
                f"{key} names {name!r}, which is no data set: {nearest(name, known)} (own data: "
                "--dataset and its like, before the overrides)"
            )
        elif name not in own:
            yield from _check_files(key, name)


def _check_files(key: str, name: str) -> Iterator[str]:
    metadata = MetadataCatalog.get(name)
    for attribute in _PATHS:
        path = metadata.get(attribute)
        if isinstance(path, str) and not PathManager.exists(path):
            root = os.getenv("DETECTRON2_DATASETS", "datasets")
            yield (
                f"{key} names {name!r}, but {path!r} does not exist: set the environment variable "
                f"DETECTRON2_DATASETS (now {root!r}) to the folder that has the data"
            )
            return
    if DatasetCatalog[name].__module__ == load_lvis_json.__module__:
        yield from _check_lvis_package(key, name)


def _check_lvis_package(key: str, name: str) -> Iterator[str]:
    """A line where Detectron2 cannot read its LVIS data. The package needs any OpenCV but asks for
    the graphical one, so it is not among our requirements."""
    try:
        importlib.import_module("lvis")
    except ImportError as error:
        yield (
            f"{key} names {name!r}, which Detectron2 reads with the package lvis ({error}): "
            "pip install --no-deps lvis, and pip install opencv-python-headless if cv2 is missing"
        )
