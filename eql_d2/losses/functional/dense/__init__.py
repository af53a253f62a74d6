"""The functions as PyTorch over whole tensors, with masks: nothing makes the host wait.

Loss and column sums come from one pass, the gradient from another in the backward pass, so that
between them only the logits are kept. ``torch.compile`` makes one kernel of each.
"""

from .focal import class_focal_loss
from .sigmoid import weighted_sigmoid_cross_entropy
from .softmax import softmax_cross_entropy
