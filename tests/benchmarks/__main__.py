"""``make bench``: run it on a quiet machine."""

import platform

import torch

from tests.benchmarks import efl, eqlv2, gradient_hook, softmax_eql

NUM_THREADS = 2

if __name__ == "__main__":
    torch.set_num_threads(NUM_THREADS)
    print(f"{platform.processor() or platform.machine()}, {NUM_THREADS} threads, ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    eqlv2.main()
    efl.main()
    softmax_eql.main()
    gradient_hook.main()
