"""The keys of yaml configs, and the one reader of their files: it runs nothing that they hold."""

from .defaults import add_eql_config
from .keys import default_config, leaves, value_of
from .trainer_keys import settings_of_the_trainer
from .yaml_files import content_of, misplaced_options, read_config
