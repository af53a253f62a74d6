"""On what a trial ran."""

import os
import platform
import re
from pathlib import Path


def machine() -> dict[str, str | int]:
    """Model name of the processor, as the system calls it, and its cores."""
    return {"cpu": _cpu_name(), "cores": os.cpu_count() or 1}


def _cpu_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
