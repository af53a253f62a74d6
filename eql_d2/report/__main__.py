"""Write the page of a run, of several runs side by side, or of a data set.

    python -m eql_d2.report OUTPUT_DIR [OUTPUT_DIR ...] [--output report.html]
    python -m eql_d2.report --data train.json [--output report.html]

The first run is the baseline. The page needs no other file; its figures are also written as PNG
files to ``figures/`` beside it.
"""

import argparse
import sys
from pathlib import Path

from ..exceptions import InputError
from .page import write_report
from .profile import REPEAT_THRESHOLD, profile_data, profile_text
from .profile_page import write_profile


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eql_d2.report",
        description="Write the page of a run, of several side by side, or of a data set.",
    )
    parser.add_argument("output_dirs", nargs="*", metavar="OUTPUT_DIR", help="the baseline first")
    parser.add_argument(
        "--data",
        metavar="JSON",
        help="annotations in COCO or LVIS format, or a folder with one folder of images for each "
        "class: how long is its tail?",
    )
    parser.add_argument(
        "--output",
        metavar="HTML",
        help="the page; default: report.html in OUTPUT_DIR, in the last folder that several have "
        "in common, or in output/profile/<name of the data>",
    )
    parser.add_argument(
        "--thresholds",
        type=int,
        nargs=2,
        default=(10, 100),
        metavar=("RARE", "COMMON"),
        help="of --data: most images of a rare and of a common category (10 100)",
    )
    parser.add_argument(
        "--repeat-threshold",
        type=float,
        default=REPEAT_THRESHOLD,
        metavar="T",
        help="of --data: threshold of repeat factor sampling (%(default)s)",
    )
    return parser


def main() -> None:
    parser = get_parser()
    args = parser.parse_args()
    if bool(args.data) == bool(args.output_dirs):
        parser.error("give one or more OUTPUT_DIR, or --data")
    try:
        if args.data:
            profile = profile_data(args.data, tuple(args.thresholds), args.repeat_threshold)
            print(profile_text(profile), end="\n\n")
            path = write_profile(profile, args.output)
        else:
            path = write_report([Path(folder) for folder in args.output_dirs], args.output)
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    print(path)


if __name__ == "__main__":
    main()
