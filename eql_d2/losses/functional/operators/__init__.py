"""The functions by fused Triton kernels, each an operator that ``torch.compile`` sees as one node.

A program of a kernel takes tiles of rows or positions and of columns. Forward, it reads the logits
once and writes partial sums of its columns, which a small reduction adds up in float64: no atomics,
so that a sum is the same each time. Backward, it reads the logits again and writes the gradient, in
their dtype. Arithmetic is float32. What runs on the device is in ``../kernels``.
"""

from .focal import class_focal_loss
from .sigmoid import weighted_sigmoid_cross_entropy
from .softmax import softmax_cross_entropy
