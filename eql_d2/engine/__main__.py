"""Train and evaluate: what ``train_net.py``, ``eql-d2 train`` and this module, also as
``torchrun -m eql_d2.engine``, do."""

from . import train_net
from .arguments import get_parser
from .launch import launch


def main(prog: str = "train_net.py") -> None:
    launch(train_net.main, get_parser(prog).parse_args(), look=train_net.look)


if __name__ == "__main__":
    main()
