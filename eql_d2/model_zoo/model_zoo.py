"""Detectron2's functions of the same names, for the configs of this project."""

import difflib
from pathlib import Path

from detectron2.config import CfgNode, LazyConfig
from omegaconf import DictConfig

from ..config import default_config
from ..exceptions import InputError

_INSTALLED = Path(__file__).resolve().with_name("configs")
# The folder of the configs: setup.py puts it beside this file; in a clone it is at the top.
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "configs"


def get_config_file(config_path: str) -> str:
    """Path of a config that comes with the package.

    Args:
        config_path: relative to ``configs/``, for example
            "LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl.yaml".

    Returns:
        Its absolute path, for ``--config-file`` or a ``_BASE_``.

    Raises:
        InputError: there is none of that name.
    """
    known = [
        path.relative_to(CONFIGS).as_posix()
        for path in sorted(CONFIGS.rglob("*"))
        if path.suffix in (".yaml", ".py")
    ]
    if config_path not in known:
        near = difflib.get_close_matches(config_path, known, 3)
        raise InputError(
            f"config {config_path!r} is not in the model zoo: "
            + (f"did you mean {' or '.join(near)}?" if near else f"give a path below {CONFIGS}")
        )
    return str(CONFIGS / config_path)


def get_config(config_path: str) -> CfgNode | DictConfig:
    """A config that comes with the package.

    Args:
        config_path: as of :func:`get_config_file`.

    Returns:
        Of a ``.yaml`` a CfgNode with the keys of this project, of a ``.py`` a LazyConfig. There are
        no weights trained with it to load: ``trained`` of Detectron2's function is left out.

    Raises:
        InputError: there is none of that name.
    """
    path = get_config_file(config_path)
    if path.endswith(".py"):
        return LazyConfig.load(path)
    cfg = default_config()
    cfg.merge_from_file(path)
    return cfg
