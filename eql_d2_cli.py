"""The command ``eql-d2``. Outside of the package, whose import takes seconds: help does without."""

import argparse
import importlib
import importlib.metadata
import sys
from typing import NamedTuple


class Command(NamedTuple):
    """A command of a module of the package.

    Attributes:
        module: its ``main(prog)`` reads the words that follow from ``sys.argv``.
        help: one line.
        is_own: whether the module has no other commands, so that it does not read this one's name.
    """

    module: str
    help: str
    is_own: bool = True


COMMANDS = {
    "train": Command("eql_d2.engine", "train and evaluate, as train_net.py in a clone"),
    "report": Command("eql_d2.report", "write the page of runs, or of a data set"),
    "study": Command("eql_d2.study", "run a STUDY.yaml: runs times seeds, and their table"),
    "convert": Command("eql_d2.checkpoint", "convert a checkpoint of other code", is_own=False),
    "validate": Command("eql_d2.data", "check data before training on them", is_own=False),
    "demo": Command("eql_d2.demo", "train on generated data, without and with equalization"),
}
# What the package needs but does not ask for, or asks for in an extra
_FIXES = {
    "torch": "install PyTorch 2.4 or later, see pytorch.org",
    "detectron2": "install Detectron2, see its INSTALL.md",
    "cv2": "pip install opencv-python-headless",
}


def get_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:10}{command.help}" for name, command in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="eql-d2",
        usage="eql-d2 COMMAND ... (eql-d2 COMMAND --help for more)",
        description="Long-tailed recognition in Detectron2: the equalization losses.\n\n"
        + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = importlib.metadata.version("eql_d2")
    parser.add_argument("--version", action="version", version=f"eql_d2 {version}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those above")
    return parser


def main() -> None:
    name = get_parser().parse_args(sys.argv[1:2]).command
    command, words = COMMANDS[name], sys.argv[2:]
    sys.argv = [f"eql-d2 {name}", *words] if command.is_own else ["eql-d2", name, *words]
    try:
        module = importlib.import_module(f"{command.module}.__main__")
    except ImportError as error:
        fix = _FIXES.get(error.name)
        if fix is None and error.name is not None:  # a defect
            raise
        sys.exit(f"eql-d2 {name}: error: {error}" + (f": {fix}" if fix else ""))
    module.main(sys.argv[0])
