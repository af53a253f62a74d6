"""Convert a checkpoint of other code.

    python -m eql_d2.checkpoint convert SRC DST.pth [--from FAMILY]

SRC is a file of eql.detectron2 (Mask R-CNN), eqlv2 (Mask R-CNN), mmdet (Mask R-CNN, RetinaNet),
United-Perception (the improved baseline of EFL, YOLOX-IP) or Megvii's YOLOX (backbone and neck, to
begin a training with). What is dropped, the config that belongs to the file and the command that
evaluates it, or trains with it, are printed.
"""

import argparse
import sys

from ..exceptions import InputError
from .conversion import FAMILIES, convert_checkpoint


def get_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Convert a checkpoint of other code.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="into a file for MODEL.WEIGHTS")
    convert.add_argument("source", metavar="SRC")
    convert.add_argument("destination", metavar="DST.pth")
    convert.add_argument(
        "--from",
        dest="family",
        choices=FAMILIES,
        help="whose file it is; default: found by the names of its tensors. Those of "
        "united-perception and of its branch main, whose class head has another order, are alike: "
        "without this option the file counts as one of release 0.1.0",
    )
    return parser


def main(prog: str = "python -m eql_d2.checkpoint") -> None:
    args = get_parser(prog).parse_args()
    try:
        print(convert_checkpoint(args.source, args.destination, args.family))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
