"""See a training: figures and one page of a run, or of several side by side."""

import importlib.util

if not all(map(importlib.util.find_spec, ("jinja2", "matplotlib"))):
    raise ImportError("a report needs jinja2 and matplotlib: pip install jinja2 matplotlib")
