"""Arguments of a loss from a yaml config."""

import inspect

from detectron2.config import CfgNode

from ..exceptions import InputError


def arguments_of_config(cls: type, cfg: CfgNode) -> dict:
    """Arguments of the constructor of a loss class.

    They are those of the node of ``MODEL.EQL`` that has the name of the class in capitals, or of
    the nearest of its bases that has one, and the prior for a loss that has one.

    Raises:
        InputError: a prior is given to a loss that takes none, or is still "auto".
    """
    prior = cfg.MODEL.EQL.PRIOR_PROB
    names = (base.__name__.upper() for base in cls.__mro__)
    node = next((cfg.MODEL.EQL[name] for name in names if name in cfg.MODEL.EQL), {})
    arguments = {key.lower(): value for key, value in node.items()}
    if "lambda" in arguments:  # a word of Python
        arguments["lambda_"] = arguments.pop("lambda")
    if prior == "auto":
        raise InputError(
            "MODEL.EQL.PRIOR_PROB is auto, which eql_d2.engine.Trainer finds in the training data: "
            "train with it, or give a number, for example 0.001"
        )
    if prior is not None:
        if not _takes(cls, "prior_prob"):
            raise InputError(
                f"MODEL.EQL.PRIOR_PROB is {prior}, but {cls.__name__} has no prior: leave it out, "
                "or give None"
            )
        arguments["prior_prob"] = prior
    return arguments


def _takes(cls: type, name: str) -> bool:
    """Whether the constructor takes an argument, by itself or as one of the ``**kwargs`` that it
    hands on."""
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        if name in {parameter.name for parameter in parameters}:
            return True
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            return False
    return False
