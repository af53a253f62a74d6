"""Runs a page as :mod:`tests.docs` says."""

import contextlib
import doctest
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from detectron2.config import CfgNode, get_cfg

from eql_d2 import add_eql_config

from . import data, python_session, warm_python
from .blocks import Block, Page

ROOT = Path(__file__).parents[2]
_SECONDS = 1800  # of a block that hangs: on a busy machine those that do not take minutes
_STATE = ".variables"


class Run(NamedTuple):
    """What became of a block; ``seconds`` is None where it was not run."""

    block: Block
    seconds: float | None


class PageError(AssertionError):
    """A block that does not do what the page says."""


@contextlib.contextmanager
def warm() -> Iterator[Path]:
    """A folder with a ``python`` that starts at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = str(folder / "socket")
        warm_python.write_client(folder, address)
        code = f"from tests.docs.warm_python import serve; serve({address!r})"
        server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], env=_environment())
        try:
            while not os.path.exists(address):
                if server.poll() is not None:
                    raise RuntimeError(f"the server ended with {server.returncode}")
                time.sleep(0.1)
            yield folder
        finally:
            server.kill()
            server.wait()


def run_page(page: Page, folder: Path, python: Path) -> list[Run]:
    """Run all blocks of a page in an empty folder.

    Args:
        page: read by ``read_page``.
        folder: empty.
        python: of :func:`warm`.

    Raises:
        PageError: a block fails, or has another output; with its place, and what it wrote.
    """
    for name in ("train_net.py", "configs"):
        (folder / name).symlink_to(ROOT / name)
    for kind in page.data:
        data.KINDS[kind](folder)
    environment = _environment(f"{python}{os.pathsep}{os.environ['PATH']}")
    runs, output = [], ""
    with _Session(folder, environment) as session:
        for block in page.blocks:
            start = time.monotonic()
            if block.reason:
                runs.append(Run(block, None))
                continue
            if block.file:
                (folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "bash":
                output = _run_bash(block, folder, environment)
            elif block.language == "python":
                output = session.run(block)
            elif block.is_output:
                _check_output(block, output)
            elif block.language == "yaml":
                _check_yaml(block)
            runs.append(Run(block, time.monotonic() - start))
    return runs


def _environment(path: str | None = None) -> dict[str, str]:
    ours = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **ours, **({"PATH": path} if path else {})}


def _run_bash(block: Block, folder: Path, environment: dict[str, str]) -> str:
    # The reader types all blocks into one shell
    script = f"set -ea; [ -f {_STATE} ] && . ./{_STATE}\n{block.text}\nexport -p > {_STATE}"
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
    if result.returncode:
        raise PageError(f"{block.where}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


class _Session:
    """A Python process for the Python blocks of a page, started with the first."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment, self._process = folder, environment, None

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.communicate(timeout=_SECONDS)

    def run(self, block: Block) -> str:
        if self._process is None:
            self._process = subprocess.Popen(
                ["python", python_session.__file__],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._process.stdin.write(json.dumps([block.where, block.text]) + "\n")
        self._process.stdin.flush()
        ended_well, output = json.loads(self._process.stdout.readline())
        if not ended_well:
            raise PageError(f"{block.where}: {output}")
        return output


def _check_output(block: Block, output: str) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    expected, output = f"...{block.text.strip()}...", re.sub(r"\x1b\[[0-9;]*m", "", output)
    if not doctest.OutputChecker().check_output(expected, output, options):
        raise PageError(f"{block.where}: is not in the output\n{output}")


def _check_yaml(block: Block) -> None:
    content = yaml.safe_load(block.text)
    cfg = get_cfg()
    add_eql_config(cfg)
    if not set(content) <= set(cfg):
        raise PageError(f"{block.where}: {set(content) - set(cfg)} are no keys of a config")
    cfg.merge_from_other_cfg(CfgNode(content))
