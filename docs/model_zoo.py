"""Writes model_zoo.md: zoo/top.md, and all experiments of configs/ with the results in zoo/.

    python docs/model_zoo.py

Those of a config are in zoo/<config>.json, where <config> is its path below configs/ without
suffix. (Not beside the config: that says what is run, and stays when somebody runs it.) A file is::

    {"config": "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2",
     "results": [{"source": {"commit": ..., "machine": ..., "command": ..., "log": URL},
                  "metrics": {"segm/AP": 23.7, ...},
                  "checkpoint": URL or null}]}

Results of others have {"url": URL} as their source, and may have "convert": what their checkpoint
is for ``python -m eql_d2.checkpoint convert --from``. Any may have a "note". Numbers are in
percent, names of metrics those of evaluation.json.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eql_d2.checkpoint.conversion import FAMILIES
from eql_d2.exceptions import InputError
from eql_d2.files import open_atomic, read_json
from eql_d2.tasks import TASKS

ROOT = Path(__file__).parents[1]
PAGE, ZOO, CONFIGS = ROOT / "docs/model_zoo.md", ROOT / "docs/zoo", ROOT / "configs"
NO_EXPERIMENTS = ("common", "Demo", "Study", "quick_schedules")
METRICS = {
    f"{result}/{metric}" for task in TASKS for result in task.results for metric in task.metrics
}
_OF_RUN = ("commit", "machine", "command", "log")


class Section(NamedTuple):
    """One folder of configs: what its table is called, the metrics shown, and in words."""

    title: str
    metrics: tuple[str, ...]
    words: str


def _metrics(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}/{name}" for name in names)


_BY_FREQUENCY = ("AP", "APr", "APc", "APf")
_MASK = (*_metrics("segm", *_BY_FREQUENCY), "bbox/AP")
_MASK_WORDS = "Mask AP / rare / common / frequent / box AP"
_TOP1 = _metrics("classification", "top1", "many", "medium", "few")
_TOP1_WORDS = "Top-1 accuracy / many-shot / medium-shot / few-shot"
SECTIONS = {
    "LVISv1-InstanceSegmentation": Section("LVIS v1, instance segmentation", _MASK, _MASK_WORDS),
    "LVISv0.5-InstanceSegmentation": Section(
        "LVIS v0.5, instance segmentation", _MASK, _MASK_WORDS
    ),
    "LVISv1-Detection": Section(
        "LVIS v1, one-stage detection",
        _metrics("bbox", *_BY_FREQUENCY),
        "Box AP / rare / common / frequent",
    ),
    "COCO-Detection": Section(
        "COCO, one-stage detection",
        _metrics("bbox", "AP", "AP50", "AP75"),
        "Box AP / at IoU 0.5 / at IoU 0.75",
    ),
    "OpenImages-Detection": Section(
        "Open Images Challenge 2019, detection",
        _metrics("bbox", "AP50", *(f"AP50_{group}" for group in range(1, 6))),
        "Box AP at IoU 0.5 / its five groups of 100 classes, rarest first",
    ),
    "ImageNetLT-Classification": Section("ImageNet-LT, classification", _TOP1, _TOP1_WORDS),
    "PlacesLT-Classification": Section("Places-LT, classification", _TOP1, _TOP1_WORDS),
    "iNaturalist18-Classification": Section("iNaturalist 2018, classification", _TOP1, _TOP1_WORDS),
    "AAAI2023-Classification": Section(
        "Practical AI challenge at AAAI 2023, classification", _TOP1, _TOP1_WORDS
    ),
    "ADE20K-Segmentation": Section(
        "ADE20K, semantic segmentation",
        _metrics("sem_seg", "mIoU", "mIoU_head", "mIoU_common", "mIoU_tail"),
        "mIoU / head / common / tail",
    ),
}


def experiments() -> dict[str, Path]:
    """File of each experiment by its path below configs/ without suffix; the .yaml of twins.

    Raises:
        InputError: a folder has no section here.
    """
    found = {}
    for path in sorted([*CONFIGS.rglob("*.py"), *CONFIGS.rglob("*.yaml")]):
        folder = path.relative_to(CONFIGS).parts[0]
        is_base = path.parent == CONFIGS or path.name.lower().startswith("base")
        if is_base or folder in NO_EXPERIMENTS:
            continue
        if folder not in SECTIONS:
            raise InputError(f"configs/{folder} has no section in docs/model_zoo.py: add one")
        found[f"{folder}/{path.stem}"] = path
    return found


def read_results(folder: Path, known: dict[str, Path]) -> dict[str, list[dict]]:
    """Results by config, all checked.

    Args:
        folder: with the JSON files.
        known: experiments that there are.

    Raises:
        InputError: a file is wrong; with its name, what is wrong, and what to write.
    """
    return {
        str(path.relative_to(folder).with_suffix("")): _read(path, folder, known)
        for path in sorted(folder.rglob("*.json"))
    }


def _read(path: Path, folder: Path, known: dict[str, Path]) -> list[dict]:
    content = read_json(path)
    _check_keys(str(path), content, ("config", "results"))
    config, results = content["config"], content["results"]
    if not isinstance(config, str) or config not in known:
        raise InputError(f"{path}: config {config!r} is no experiment of configs/")
    if path != folder / f"{config}.json":
        raise InputError(f"{path}: config is {config!r}, so the file must be {config}.json")
    if not isinstance(results, list) or not results:
        raise InputError(f"{path}: results is {results!r}, give a list of at least one")
    for number, result in enumerate(results):
        _check_result(f"{path}: results[{number}]", result)
        first = SECTIONS[config.split("/")[0]].metrics[0]
        if first not in result["metrics"]:
            raise InputError(f"{path}: results[{number}].metrics has no {first}, give it")
    return results


def _check_result(where: str, result: object) -> None:
    _check_keys(where, result, ("source", "metrics", "checkpoint"), ("convert", "note"))
    source, of_others = result["source"], _is_of_others(result)
    _check_keys(f"{where}.source", source, ("url",) if of_others else _OF_RUN)
    for key, value in source.items():
        if not isinstance(value, str) or not value:
            raise InputError(f"{where}.source.{key} is {value!r}: give a text")
    _check_url(f"{where}.source", source["url" if of_others else "log"])
    if not of_others and not re.fullmatch("[0-9a-f]{40}", source["commit"]):
        raise InputError(f"{where}.source.commit is {source['commit']!r}: give its 40 hex digits")
    if result["checkpoint"] is not None:
        _check_url(f"{where}.checkpoint", result["checkpoint"])
    if "convert" in result and (result["convert"] not in FAMILIES or result["checkpoint"] is None):
        raise InputError(
            f"{where}.convert is {result['convert']!r}: leave it out, or give a checkpoint and one "
            f"of {', '.join(FAMILIES)}"
        )
    if not isinstance(result.get("note", ""), str):
        raise InputError(f"{where}.note is {result['note']!r}: give a text")
    _check_metrics(f"{where}.metrics", result["metrics"])


def _check_metrics(where: str, metrics: object) -> None:
    if not isinstance(metrics, dict) or not metrics:
        raise InputError(f"{where} is {metrics!r}: give numbers by name, for example segm/AP")
    for name, value in metrics.items():
        if name not in METRICS:
            raise InputError(f"{where}: {name!r} is unknown, take the names of evaluation.json")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            raise InputError(f"{where}: {name} is {value!r}, give a number from 0 to 100")


def _check_keys(
    where: str, content: object, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    if not isinstance(content, dict):
        raise InputError(f"{where} is {content!r}: give an object with {', '.join(needed)}")
    for key in needed:
        if key not in content:
            raise InputError(f"{where} has no {key!r}: give {', '.join(needed)}")
    for key in content:
        if key not in needed + optional:
            raise InputError(f"{where} has {key!r}: known are {', '.join(needed + optional)}")


def _check_url(where: str, url: object) -> None:
    if not isinstance(url, str) or not re.fullmatch(r"https://\S+", url):
        raise InputError(f"{where}: {url!r} is no address, give one that begins with https://")


def _is_of_others(result: dict) -> bool:
    return isinstance(result["source"], dict) and "url" in result["source"]


def page(known: dict[str, Path], results: dict[str, list[dict]]) -> str:
    """The text of model_zoo.md."""
    return (ZOO / "top.md").read_text(encoding="utf-8") + "".join(
        line + "\n"
        for folder, section in SECTIONS.items()
        for line in _table(folder, section, known, results)
    )


def _table(folder: str, section: Section, known: dict, results: dict) -> Iterator[str]:
    yield from ("", f"## {section.title}", "", f"{section.words}.", "")
    yield from ("| config | published | ours | checkpoint |", "|---|---|---|---|")
    notes = []
    for config, path in known.items():
        if not config.startswith(f"{folder}/"):
            continue
        entries = results.get(config, [])
        name = path.stem if path.suffix == ".yaml" else path.name
        cells = [f"[{name}](../{path.relative_to(ROOT)})"]
        for of_others in (True, False):
            own = [entry for entry in entries if _is_of_others(entry) == of_others]
            cells.append("<br>".join(_numbers(entry, section.metrics) for entry in own))
        cells.append("<br>".join(map(_checkpoint, filter(lambda e: e["checkpoint"], entries))))
        yield f"| {' | '.join(cells)} |"
        notes += [f"- {name}: {entry['note']}" for entry in entries if "note" in entry]
    yield from ["", *notes] if notes else []


def _numbers(result: dict, metrics: tuple[str, ...]) -> str:
    values = [result["metrics"].get(name) for name in metrics]
    while values and values[-1] is None:
        values.pop()
    numbers = " / ".join("–" if value is None else _number(value) for value in values)
    source = result["source"]
    link = "[source]({url})" if "url" in source else "[log]({log}), {machine}"
    return f"{numbers} ({link.format(**source)})".replace("|", r"\|")


def _number(value: float) -> str:
    """With two decimals, the second of which may be left out."""
    return f"{value:.2f}".removesuffix("0")


def _checkpoint(result: dict) -> str:
    words = "theirs" if _is_of_others(result) else "ours"
    convert = f", `--from {result['convert']}`" if "convert" in result else ""
    return f"[{words}]({result['checkpoint']}){convert}"


def main() -> None:
    try:
        known = experiments()
        text = page(known, read_results(ZOO, known))
    except InputError as error:
        sys.exit(f"error: {error}")
    with open_atomic(PAGE) as file:
        file.write(text)


if __name__ == "__main__":
    main()
