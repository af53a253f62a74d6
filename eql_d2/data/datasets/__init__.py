from .builtin import register_open_images
from .class_folders import LongTail, register_class_folder
from .image_lists import register_image_list
from .json_instances import register_json_instances
from .mask_folders import register_mask_folder
from .own_data import register_own_data
