"""Time functions side by side: in turn, so that a machine that slows down slows all of them."""

import statistics
import time
from collections.abc import Callable

from tabulate import tabulate


def compare(title: str, functions: dict[str, Callable[[], object]], rounds: int) -> None:
    """Print the median seconds of each function and the median of its ratios to the first."""
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    first = next(iter(seconds.values()))
    rows = []
    for name, values in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(first, values))
        spread = f"{min(values):.4f} to {max(values):.4f}"
        rows.append([name, f"{statistics.median(values):.4f}", spread, f"{ratio:.2f}"])
    print(f"\n{title}, {rounds} rounds")
    headers = ["", "median s", "min to max", "first / this"]
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), flush=True)
