"""Test images of the rarest categories: truth beside the prediction of each run."""

from .draw import Examples, draw_examples
