from .builtin import register_open_images
from .json_instances import register_json_instances

__all__ = ["register_json_instances", "register_open_images"]
