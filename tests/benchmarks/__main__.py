"""``make bench``, or ``make bench DEVICE=cuda``: run it on a quiet machine."""

import argparse
import platform

import torch

from tests.benchmarks import cuda, efl, eqlv2, gradient_hook, softmax_eql, yolox_ip

NUM_THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    if parser.parse_args().device == "cuda":
        if not torch.cuda.is_available():
            parser.error("--device is cuda, but PyTorch finds no GPU")
        cuda.main()
        return
    torch.set_num_threads(NUM_THREADS)
    print(f"{platform.processor() or platform.machine()}, {NUM_THREADS} threads, ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    eqlv2.main()
    efl.main()
    softmax_eql.main()
    gradient_hook.main()
    yolox_ip.main()


if __name__ == "__main__":
    main()
