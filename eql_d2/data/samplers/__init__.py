from .order import fast, get_order, set_order
from .repeat_factor_sampler import (
    CeilRepeatFactorTrainingSampler,
    FastRepeatFactorTrainingSampler,
    round_repeat_factors,
)
