from .detection_checkpoint import EQLCheckpointer
from .trusted_files import check_proposals
