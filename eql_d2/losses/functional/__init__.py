"""The maths of the losses: functions of tensors, on PyTorch alone.

They know of rows, maps, labels and weights; nothing of heads, statistics, processes or configs.
Each is written in three forms, see :mod:`.backend`.
"""

from .backend import backend
from .focal import class_focal_loss
from .initial_ratio import initial_gradients, initial_ratio, prior_for_ratio, step_weights
from .results import LossSums
from .seesaw import seesaw_margins
from .sigmoid import weighted_sigmoid_cross_entropy
from .softmax import softmax_cross_entropy
