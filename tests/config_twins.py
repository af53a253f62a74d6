"""What test_configs.py compares: all that a .yaml and a .py config build, as plain values."""

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path

import torch
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetCatalog
from detectron2.data.common import AspectRatioGroupedDataset, ToIterableDataset
from detectron2.modeling import META_ARCH_REGISTRY
from omegaconf import ListConfig
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from eql_d2 import add_eql_config
from eql_d2.data.mosaic import MosaicDataset

CONFIGS = Path(__file__).parents[1] / "configs"
# Files of a study are not configs.
YAML = sorted(
    p for p in CONFIGS.rglob("*.yaml") if "Base" not in p.name and p.parent.name != "Study"
)
TWINS = [p for p in YAML if p.with_suffix(".py").exists()]
# LazyConfigs without a twin, below CONFIGS, and why
_NO_BUILDER = "Detectron2 has this backbone for LazyConfigs only: no builder is registered for yaml"
LAZY_ONLY = {
    f"LVISv1-InstanceSegmentation/{name}_{loss}.py": _NO_BUILDER
    for name in ("mask_rcnn_ViTDet_B_100e", "cascade_mask_rcnn_Swin_B_50e")
    for loss in ("eqlv2", "federated")
}
# The yaml path names heads of ours, the LazyConfig names the predictor itself.
SAME_HEAD = {"EQLROIHeads": "StandardROIHeads", "EQLCascadeROIHeads": "CascadeROIHeads"}
ATTRIBUTES_OF_ANY_MODULE = set(vars(nn.Module())) - {"training"}


class _ValuesOnCPU(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        place = {"device": "cpu"} if func in (torch.tensor, torch.linspace) else {}
        return func(*args, **{**(kwargs or {}), **place})


def without_weights(build, *args) -> nn.Module:
    """Build a model on the meta device; tensors of given values, such as anchors, keep them."""
    with torch.device("meta"), _ValuesOnCPU():
        return build(*args)


def build_yaml_model(cfg) -> nn.Module:
    # As Detectron2's build_model, which also moves the model: meta tensors cannot be.
    return without_weights(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), cfg)


def build_lazy_model(cfg) -> nn.Module:
    return without_weights(instantiate, cfg.model)


class Twins:
    """The configs of one stem, and their models, built once for all tests."""

    def __init__(self, path):
        self.cfg, self.lazy = load_yaml(path), LazyConfig.load(str(path.with_suffix(".py")))

    @functools.cached_property
    def models(self) -> tuple[nn.Module, nn.Module]:
        return build_yaml_model(self.cfg), build_lazy_model(self.lazy)


def load_yaml(path):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(path), allow_unsafe=False)
    return cfg


def name_of(path):
    return str(path.relative_to(CONFIGS).with_suffix(""))


def plain(value):
    """Plain values, lists and dicts of any object: what it is set to, attribute by attribute."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list, ListConfig)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Tensor):
        tensor = {"dtype": value.dtype, "shape": tuple(value.shape), "grad": value.requires_grad}
        return tensor if value.is_meta else {**tensor, "values": value.tolist()}
    if inspect.isroutine(value) or inspect.isclass(value):
        return value
    if hasattr(value, "__dict__"):
        return {"type": type(value), **plain(attributes(value))}
    return repr(value)


def attributes(value):
    """Of any object; of a module without what all modules have, such as the modules inside it."""
    own = ATTRIBUTES_OF_ANY_MODULE if isinstance(value, nn.Module) else ()
    return {name: attribute for name, attribute in vars(value).items() if name not in own}


def model_settings(model):
    """All that each module of the model is set to, its buffers and the shapes of its parameters,
    but for what a yaml config asks of the trainer besides."""
    found = {}
    for path, module in model.named_modules():
        kind = type(module).__name__
        found[path] = SAME_HEAD.get(kind, kind)
        for name, value in {**attributes(module), **module._parameters, **module._buffers}.items():
            if name == "unread_settings":
                continue
            if name in ("_get_measure", "_get_class_count"):
                value = plain(value and value())
            elif name == "loss_weight" and isinstance(value, dict):
                value = {"loss_cls": 1.0, **value}  # 1 where it is not given
            found[f"{path}.{name}"] = plain(value)
    found["saved"] = sorted(model.state_dict())
    return found


def optimizer_settings(optimizer, model):
    """Settings of the group of each parameter, by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    # foreach is not a setting of the step but of its speed: on a GPU None is True.
    settings = {
        names[parameter]: plain({**group, "params": None, "foreach": None})
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return type(optimizer), getattr(optimizer, "max_norm", None), settings


def records_of(dataset_name):
    """In place of a data set: 1,500 images, one of a class so rare that it is repeated; and one
    image without objects, which some loaders leave out."""
    assert dataset_name in DatasetCatalog
    classes = [[0]] * 1499 + [[1], []]
    return [
        {
            "file_name": f"{dataset_name}/{i}.jpg",
            "annotations": [{"category_id": c} for c in present],
        }
        for i, present in enumerate(classes)
    ]


def loader_settings(loader):
    """What a data loader of Detectron2 is made of, for train and test."""
    loader = getattr(loader, "loader", loader)  # a resumable one stands for it
    is_grouped = isinstance(loader, AspectRatioGroupedDataset)
    batches = loader.dataset if is_grouped else loader
    is_train = isinstance(batches.dataset, ToIterableDataset)
    mapped, sampler = batches.dataset, batches.sampler
    if is_train:
        mapped, sampler = mapped.dataset, mapped.sampler
    if isinstance(mapped, MosaicDataset):
        mosaic = plain({**vars(mapped), "_dataset": None, "mapper": None})
        records, mapper = mapped._dataset, plain(mapped.mapper)
    else:
        mosaic, records, mapper = None, mapped._dataset, plain(mapped._map_func._obj)
    sampler = plain(sampler)
    sampler.pop("_seed", None)  # drawn, if the config sets none
    if not is_train:
        mapper.pop("use_instance_mask", None)  # without effect: no annotation is read
    return {
        "aspect_ratio_grouping": is_grouped,
        "batch_size": loader.batch_size,
        "drop_last": batches.drop_last,
        "num_workers": batches.num_workers,
        "collate_fn": batches.collate_fn if not is_grouped else None,
        "images": (len(records), records[0]["file_name"], records[len(records) - 1]["file_name"]),
        "sampler": sampler,
        "mapper": mapper,
        "mosaic": mosaic,
    }
