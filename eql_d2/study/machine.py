"""On what a trial ran."""

import os
import platform
import re
from pathlib import Path

import torch


def machine() -> dict[str, str | int]:
    """Model name of the processor, as the system calls it, its cores, and the GPU if any."""
    found = {"cpu": _cpu_name(), "cores": os.cpu_count() or 1}
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def _cpu_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
