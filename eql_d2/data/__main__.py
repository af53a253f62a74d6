"""Check data before training on them: all problems at once.

    python -m eql_d2.data validate --dataset train.json images/
    python -m eql_d2.data validate --dataset train.json images/ --write fixed.json
    python -m eql_d2.data validate --dataset train.json images/ --dataset val.json images/
    python -m eql_d2.data validate --class-folder train/ --class-folder val/
    python -m eql_d2.data validate --mask-folder images/ masks/ classes.txt
    python -m eql_d2.data validate --image-list train.txt images/ 365

Of several data sets of one kind the first is taken for the training data, and the others are
compared with it. A NAME before the paths, as ``train_net.py`` takes it, does no harm.
``train_net.py`` makes the same checks of the data that it registers, but reads of the image files
an even sample only. Exit code 1 if there is an error; warnings alone give 0.
"""

import argparse
import os
import sys
from collections.abc import Iterator

from ..exceptions import InputError
from .validation.comparison import compare, say_order
from .validation.findings import Findings
from .validation.limits import Limits
from .validation.validate import (
    Depth,
    validate_class_folder,
    validate_image_list,
    validate_json,
    validate_mask_folder,
)
from .validation.write import write_repaired

_OPTIONS = (
    ("--dataset", "JSON IMAGES", "a COCO- or LVIS-format file and its image folder"),
    ("--class-folder", "FOLDER", "a folder with one folder of images for each class"),
    (
        "--mask-folder",
        "IMAGES MASKS CLASSES",
        "images, label maps (PNG of class indices, 255 ignored) and a text file with one class "
        "name a line",
    ),
    (
        "--image-list",
        "LIST IMAGES NUM_CLASSES",
        'a text file with lines "path label" and the folder that the paths start from',
    ),
)


class _Entry(argparse.Action):
    """Appends the words of a data set, without its name."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        expected = self.metavar.split()
        if len(values) not in (len(expected), len(expected) - 1):
            parser.error(f"{option_string} {' '.join(values)}: give {self.metavar}")
        paths = values[len(values) - len(expected) + 1 :]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), paths])


class _Formatter(argparse.HelpFormatter):
    """Shows the words of an entry as they are."""

    def _format_args(self, action, default_metavar) -> str:
        is_entry = isinstance(action, _Entry)
        return action.metavar if is_entry else super()._format_args(action, default_metavar)


def get_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="validate")
    command = commands.add_parser(
        "validate", help="report all problems of data sets, by kind", formatter_class=_Formatter
    )
    command.set_defaults(parser=command)
    for option, metavar, text in _OPTIONS:
        command.add_argument(
            option,
            nargs="+",
            action=_Entry,
            default=[],
            metavar=f"[NAME] {metavar}",
            help=f"{text}; repeatable",
        )
    command.add_argument(
        "--write",
        metavar="FIXED.json",
        help="write the one --dataset with the repairs that lose nothing, and check the result: "
        "ids, sizes and iscrowd given as text or as 7.0 become integers; annotations with one id "
        "are numbered anew; absent sizes of images are read from their files; \\ in names becomes "
        "/; boxes are clipped, or taken from the polygons where they are absent; flat and broken "
        "polygons are mended; absent iscrowd and area are filled as COCO defines them, and absent "
        "lists of LVIS's images are made empty",
    )
    command.add_argument(
        "--num-images",
        type=int,
        metavar="N",
        help="read an even sample of N image files of each data set; all if not given",
    )
    command.add_argument(
        "--max-image-pixels",
        type=int,
        default=Limits().max_image_pixels,
        metavar="N",
        help="INPUT.MAX_IMAGE_PIXELS of the training (default: %(default)s, Pillow's bound)",
    )
    command.add_argument(
        "--allow-outside-paths",
        action="store_true",
        help="let files name images outside of the image folder (.. or absolute paths)",
    )
    return parser


def _validate_all(args: argparse.Namespace) -> Iterator[tuple[str, Findings]]:
    """What each data set is called, and what has been found in it."""
    limits = Limits(args.max_image_pixels, args.allow_outside_paths)
    for option, validate in (
        ("dataset", validate_json),
        ("class_folder", validate_class_folder),
        ("mask_folder", validate_mask_folder),
        ("image_list", validate_image_list),
    ):
        training = None
        for i, words in enumerate(getattr(args, option)):
            if option == "image_list":
                words = [*words[:-1], _number(args.parser, words[-1])]
            if args.write is not None:
                for line in write_repaired(words[0], args.write, words[1], limits):
                    print(f"{words[0]}: {line}")
                words = [args.write, *words[1:]]
            findings = validate(*words, Depth(limits, args.num_images, is_test=i > 0))
            yield words[0], findings
            if i == 0:
                training, contents = words[0], findings.contents
            elif contents is not None and findings.contents is not None:
                order = say_order(contents, findings.contents)
                name = f"{words[0]}, compared with the training data {training}, {order}"
                yield name, compare(contents, findings.contents)


def _number(parser: argparse.ArgumentParser, num_classes: str) -> int:
    if not num_classes.isdecimal() or not 0 < int(num_classes) <= 10**7:
        parser.error(f"--image-list: NUM_CLASSES is {num_classes!r}: give 1 to {10**7}")
    return int(num_classes)


def main(prog: str = "python -m eql_d2.data") -> None:
    args = get_parser(prog).parse_args()
    num_sets = sum(map(len, (args.dataset, args.class_folder, args.mask_folder, args.image_list)))
    if num_sets == 0:
        args.parser.error(f"name data: {', '.join(option for option, *_ in _OPTIONS)}")
    if args.write is not None and (num_sets > 1 or not args.dataset):
        args.parser.error("--write takes one --dataset and no other data")
    if min(args.max_image_pixels, 1 if args.num_images is None else args.num_images + 1) < 1:
        args.parser.error("--max-image-pixels is 1 or more, and --num-images 0 or more")
    failed = False
    try:
        for name, findings in _validate_all(args):
            print(f"{name}: {findings.summary()}")
            if findings.errors or findings.warnings:
                print(findings.format())
            failed |= bool(findings.errors)
    except InputError as error:
        args.parser.exit(1, f"error: {error}\n")
    except BrokenPipeError:  # of a reader that has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
