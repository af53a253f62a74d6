"""Config files, yaml and LazyConfig: damaged, circular, misspelt, hostile."""

import functools
import random
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from tests.fuzz.tiny_runs import LAZY_NODES, data_options, run, workspace

_IMPORT = f"from .lazy import {', '.join(LAZY_NODES)}\n"

# Text of a .yaml file
_YAML = {
    "empty": "",
    "a list": "- 1\n- 2\n",
    "a number": "7\n",
    "open bracket": "SOLVER: {MAX_ITER: 1\n",
    "tab": "SOLVER:\n\tMAX_ITER: 1\n",
    "unknown alias": "SOLVER: *nothing\n",
    "python tag": "SOLVER: !!python/object/apply:os.system ['touch EVIL']\n",
    "python tag of a value": "SEED: !!python/object/new:int [3]\n",
    "base with a python tag": "_BASE_: evil.yaml\n",
    "missing base": "_BASE_: nowhere.yaml\n",
    "own base": "_BASE_: case.yaml\n",
    "circle": "_BASE_: circle.yaml\n",
    "base is a number": "_BASE_: 3\n",
    "base is a mapping": "_BASE_: {a: 1}\n",
    "base is a folder": "_BASE_: train\n",
    "two bases": "_BASE_: [twostage.yaml, onestage.yaml]\n",
    "a second base is missing": "_BASE_: [twostage.yaml, nowhere.yaml]\n",
    "base is damaged": "_BASE_: damaged.yaml\n",
    "key in a wrong place": "_BASE_: twostage.yaml\nMAX_ITER: 3\n",
    "misspelt key": "_BASE_: twostage.yaml\nSOLVER: {MAX_ITR: 3}\n",
    "misspelt group": "_BASE_: twostage.yaml\nSOLVR: {MAX_ITER: 3}\n",
    "key of a LazyConfig": "_BASE_: twostage.yaml\ntrain: {max_iter: 3}\n",
    "number as key": "_BASE_: twostage.yaml\n3: 4\n",
    "group is a number": "_BASE_: twostage.yaml\nSOLVER: 3\n",
    "group is empty": "_BASE_: twostage.yaml\nSOLVER:\n",
    "value is a group": "_BASE_: twostage.yaml\nSEED: {A: 1}\n",
    "date": "_BASE_: twostage.yaml\nSEED: 2020-01-01\n",
    "set": "_BASE_: twostage.yaml\nINPUT: {MIN_SIZE_TRAIN: !!set {64}}\n",
    "binary": "_BASE_: twostage.yaml\nOUTPUT_DIR: !!binary aGk=\n",
    "old version": "_BASE_: twostage.yaml\nVERSION: 1\n",
    "later version": "_BASE_: twostage.yaml\nVERSION: 9\n",
    "version is a text": "_BASE_: twostage.yaml\nVERSION: two\n",
    "renamed key": "_BASE_: twostage.yaml\nSOLVER: {CLIP_GRADIENTS: {FULL_MODEL_NORM: 3}}\n",
    "deep": "SEED: " + "[" * 3000 + "\n",
    "nested aliases": "\n".join(
        ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30))]
    ),
    "nested aliases as a value": "_BASE_: twostage.yaml\nMODEL:\n RPN:\n  CONV_DIMS: ["
    + ", ".join(["&a0 [1, 1]", *(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30))])
    + "]\n",
    "number with a letter": "_BASE_: twostage.yaml\nSOLVER: {BASE_LR: 1e-2x}\n",
    "exponent": "_BASE_: twostage.yaml\nSOLVER: {BASE_LR: 1e-3}\n",
    "integer rate": "_BASE_: twostage.yaml\nSOLVER: {BASE_LR: 1}\n",
    "expression": "_BASE_: twostage.yaml\nSOLVER: {MAX_ITER: '2 * 3'}\n",
    "call": "_BASE_: twostage.yaml\nSOLVER: {MAX_ITER: '__import__(\"os\").getpid()'}\n",
    "two documents": "_BASE_: twostage.yaml\n---\nSEED: 1\n",
    "nothing but a base": "_BASE_: twostage.yaml\n",
    "null byte": "SEED: 1\x00\n",
    "another charset": "OUTPUT_DIR: '\udcff\udcfe'\n",
}
# Lines of a .py file
_PYTHON = {
    "empty": "",
    "syntax": "model = dict(\n",
    "missing import": "import no_such_module_of_any_kind\n",
    "missing file": "from .nowhere import model\n",
    "missing name": "from .lazy import nothing\n",
    "broken file": "from .broken import model\n",
    "folder": "from . import lazy\n",
    "division": "1 / 0\n",
    "exit": "raise SystemExit(3)\n",
    "no model": _IMPORT + "del model\n",
    "no train": _IMPORT + "del train\n",
    "no optimizer": _IMPORT + "del optimizer\n",
    "train is a list": _IMPORT + "train = [1]\n",
    "model is a dict": _IMPORT + "model = dict(a=1)\n",
    "unknown key of train": _IMPORT + "train.max_itre = 3\n",
    "unknown key of amp": _IMPORT + "train.amp.enable = True\n",
    "unknown argument": _IMPORT + "model.input_fromat = 'BGR'\n",
    "unknown target": _IMPORT + "model._target_ = 'no.such.thing'\n",
    "broken reference": _IMPORT + "train.max_iter = '${nothing}'\n",
    "missing value": _IMPORT + "train.max_iter = '???'\n",
    "no key of train": _IMPORT + "del train.log_period\n",
    "no test data": _IMPORT + "del dataloader.test\n",
    "no evaluator": _IMPORT + "del dataloader.evaluator\n",
    "schedule without values": _IMPORT + "del lr_multiplier.scheduler\n",
    "whole": _IMPORT,
}


def cases(seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """All cases, and then damaged files without end: (name, function that runs it)."""
    rng = random.Random(seed)
    made = [
        *((f"yaml: {name}", functools.partial(_yaml, text)) for name, text in _YAML.items()),
        *((f"python: {name}", functools.partial(_python, text)) for name, text in _PYTHON.items()),
    ]
    rng.shuffle(made)
    yield from made
    for kind in cycle(("yaml", "python")):
        number = rng.randrange(10**6)
        yield f"damaged {kind} {number}", functools.partial(_damaged, kind, number)


def _folder() -> Path:
    """The workspace with the files that others are based on."""
    folder = workspace()
    if not (folder / "evil.yaml").exists():
        (folder / "evil.yaml").write_text(_YAML["python tag"])
        (folder / "circle.yaml").write_text("_BASE_: case.yaml\n")
        (folder / "damaged.yaml").write_text(_YAML["open bracket"])
        (folder / "broken.py").write_text(_PYTHON["syntax"])
    return folder


def _yaml(text: str) -> None:
    path = _folder() / "case.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    run("--config-file", str(path))
    assert not Path("EVIL").exists()


def _python(text: str) -> None:
    path = _folder() / "case.py"
    path.write_text(text)
    run("--config-file", str(path), *data_options())


def _damaged(kind: str, number: int) -> None:
    """A whole config of which one piece is missing, doubled or replaced."""
    rng = random.Random(number)
    folder = _folder()
    source = folder / rng.choice(["twostage.yaml", "segmentation.yaml", "classification.yaml"])
    text = source.read_text() if kind == "yaml" else (folder / "lazy.py").read_text()
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.choice([1, 1, 5, 40]))
        piece = rng.choice(
            ["", text[start:end] * 2, rng.choice("{}[]:'\"-#&*!|>%@\n\t 0x"), "null"]
        )
        text = text[:start] + piece + text[end:]
    path = folder / f"case.{'yaml' if kind == 'yaml' else 'py'}"
    path.write_text(text)
    # A damaged folder must not be written to.
    if kind == "yaml":
        run("--config-file", str(path), "OUTPUT_DIR", str(folder / "output"))
    else:
        output = f"train.output_dir={folder / 'output'}"
        run("--config-file", str(path), *data_options(), output)
