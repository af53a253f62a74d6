"""See a training: figures and one page of a run, or of several side by side."""

import importlib.util

# The extra "report": Detectron2 draws with OpenCV and Matplotlib.
_PACKAGES = {"cv2": "opencv-python-headless", "jinja2": "jinja2", "matplotlib": "matplotlib"}
if _MISSING := [_PACKAGES[name] for name in _PACKAGES if importlib.util.find_spec(name) is None]:
    raise ImportError(f"a report needs {', '.join(_MISSING)}: pip install {' '.join(_MISSING)}")
