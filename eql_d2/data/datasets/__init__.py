from .json_instances import register_json_instances

__all__ = ["register_json_instances"]
