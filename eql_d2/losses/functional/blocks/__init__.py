"""The functions as PyTorch over parts that stay in the cache of a CPU.

Loss, gradient and column sums come from one pass; the gradient is kept, in float32. Where labels
are few they are found by index, for which a GPU would have to be waited for.
"""

from .focal import class_focal_loss
from .sigmoid import weighted_sigmoid_cross_entropy
from .softmax import softmax_cross_entropy
