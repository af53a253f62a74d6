"""Post-hoc calibration: the scores of a trained model, corrected for the sizes of its classes."""

from .base import Calibration, calibrate
from .build import build_calibration
from .fracal import FRACAL
from .logit_adjustment import LogitAdjustment
from .norcal import NorCal
