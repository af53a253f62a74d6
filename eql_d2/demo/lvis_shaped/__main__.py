"""Train and evaluate one run in the LVIS-shaped world.

    python -m eql_d2.demo.lvis_shaped --config-file configs/Demo/Base-LVISShaped.yaml \\
        [KEY VALUE ...]

It takes the arguments of ``train_net.py`` and leaves the same files. Of the config it reads the
loss, the sizes of the box head and of its batches, the sampler, the solver, the seed, and the
numbers of classes and of detections. Studies start it with ``module: eql_d2.demo.lvis_shaped``.
"""

import argparse
import sys

from detectron2.utils.logger import setup_logger

from ...engine import get_parser
from ...engine.output_folder import held
from ...engine.train_net import read_run
from ...exceptions import InputError
from .train import train
from .world import World, WorldSettings


def run(args: argparse.Namespace) -> None:
    """Train as the arguments say.

    Raises:
        InputError: a line for each problem of the config, or an evaluation alone is asked for.
    """
    unknown = {"--eval-only": args.eval_only, "--resume": args.resume}
    unknown["--num-gpus"] = args.num_gpus > 1
    for option in (option for option, given in unknown.items() if given):
        raise InputError(
            f"a run of the LVIS-shaped world is short, whole and one process: leave out {option}"
        )
    cfg = read_run(args)
    with held(cfg.OUTPUT_DIR):
        setup_logger(cfg.OUTPUT_DIR)
        setup_logger(cfg.OUTPUT_DIR, name="eql_d2")
        results = train(cfg, World(WorldSettings(cfg.MODEL.ROI_HEADS.NUM_CLASSES)))
    print("  ".join(f"{name} {value:.1f}" for name, value in results.items()))


def main(prog: str = "python -m eql_d2.demo.lvis_shaped") -> None:
    args = get_parser(prog).parse_args()
    try:
        run(args)
    except InputError as error:
        sys.exit("\n".join(f"{prog}: error: {line}" for line in error.problems))


if __name__ == "__main__":
    main()
