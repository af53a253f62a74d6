from .builtin import register_open_images
from .class_folders import register_class_folder
from .image_lists import register_image_list
from .json_instances import register_json_instances
from .long_tail import LongTail
from .mask_folders import register_mask_folder
from .own_data import register_own_data
