from .backbone import YOLOPAFPN, CSPDarknet, build_yolox_backbone
from .head import YOLOXHead
from .yolox_ip import EQLYOLOXIP
