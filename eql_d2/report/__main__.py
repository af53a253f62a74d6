"""Write the page of a run, of several runs side by side, or of a data set.

    python -m eql_d2.report OUTPUT_DIR [OUTPUT_DIR ...] [--output report.html]
    python -m eql_d2.report --data train.json [--config-file CONFIG] [--output report.html]

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
from .regime import regime_of_config, regime_text


def get_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
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
        "--config-file",
        metavar="YAML",
        help="of a one-stage detector: predict with which gradient ratio the classes of --data "
        "begin, and name a prior",
    )
    parser.add_argument(
        "--opts",
        nargs="+",
        default=[],
        metavar="KEY VALUE",
        help="of --config-file: keys to change, as in train_net.py",
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
    parser.add_argument(
        "--dose",
        type=float,
        metavar="TIMES",
        help="of --data, instead of --repeat-threshold: find the threshold that shows the median "
        "rare category so many times as often, at equal steps",
    )
    return parser


def main(prog: str = "python -m eql_d2.report") -> None:
    parser = get_parser(prog)
    args = parser.parse_args()
    if bool(args.data) == bool(args.output_dirs):
        parser.error("give one or more OUTPUT_DIR, or --data")
    if args.output_dirs and args.config_file:
        parser.error("--config-file goes with --data")
    try:
        if args.data:
            rules = tuple(args.thresholds), args.repeat_threshold, args.dose
            profile = profile_data(args.data, *rules)
            print(profile_text(profile), end="\n\n")
            regime = None
            if args.config_file:
                regime = regime_of_config(profile, args.config_file, args.opts)
                print(regime_text(regime), end="\n\n")
            path = write_profile(profile, args.output, regime)
        else:
            path = write_report([Path(folder) for folder in args.output_dirs], args.output)
    except (InputError, OSError) as error:
        problems = error.problems if isinstance(error, InputError) else [error]
        sys.exit("\n".join(f"error: {line}" for line in problems))
    print(path)


if __name__ == "__main__":
    main()
