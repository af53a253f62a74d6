"""What has to be set before PyTorch and this package are imported."""

import os

# Subprocesses and spawned ranks too: many threads on few, busy cores are slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without a GPU Triton's interpreter runs the kernels; it is chosen when they are imported.
if not os.path.exists("/dev/nvidiactl"):
    os.environ.setdefault("TRITON_INTERPRET", "1")
