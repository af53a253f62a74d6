"""Open Images: its csv files and classes, and their conversion to a COCO-format file."""

from .convert import Conversion, convert_open_images
