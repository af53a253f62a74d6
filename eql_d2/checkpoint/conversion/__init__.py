"""Checkpoints of the official code and of mmdet, for the models of this project."""

from .convert import FAMILIES, convert_checkpoint
