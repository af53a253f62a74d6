"""``examples_<task>.json``: of each category one test image with its prediction, for the report."""

import os
from collections.abc import Callable, Mapping

from detectron2.utils import comm

from ..exceptions import InputError
from ..files import read_json, write_json


class ExampleImages:
    """Keeps of each category the test image of which it takes the largest share, of equal shares
    the first by file name.

    The choice depends on the truth alone: all models leave the same images of the same data. Only
    these are held in memory and written, however many images are evaluated.
    """

    def __init__(self) -> None:
        # By category: share and file name of the best image; contents by file name
        self._best: dict[int, tuple[float, str]] = {}
        self._contents: dict[str, dict] = {}

    def offer(
        self, shares: Mapping[int, float], file_name: str, content: Callable[[], dict]
    ) -> None:
        """Keep an image if it shows more of some category than those before it.

        Args:
            shares: of the image, by the categories that the truth has in it.
            file_name: of the image.
            content: called once if the image is kept: truth and prediction, of types of JSON.
        """
        better = {
            category: (share, file_name)
            for category, share in shares.items()
            if category not in self._best or _rank((share, file_name)) < _rank(self._best[category])
        }
        if better:
            is_replaced = not self._best.keys().isdisjoint(better)
            self._best |= better
            self._contents[file_name] = content()
            if is_replaced:
                self._forget_others()

    def write(self, folder: str | os.PathLike | None, task: str) -> None:
        """Join all processes and write the file in the main one. Collective, unless `folder` is
        None, which writes nothing; so does a test without images."""
        if folder is None:
            return
        for other in comm.gather(self):
            for category, found in other._best.items():
                own = self._best.setdefault(category, found)
                self._best[category] = min(own, found, key=_rank)
            self._contents |= other._contents
        self._forget_others()
        if self._best and comm.is_main_process():
            categories = [
                {"category_id": category, "file_name": file_name, "share": share}
                for category, (share, file_name) in sorted(self._best.items())
            ]
            content = {"categories": categories, "images": self._contents}
            write_json(os.path.join(folder, f"examples_{task}.json"), content)

    def _forget_others(self) -> None:
        kept = {file_name for _, file_name in self._best.values()}
        self._contents = {name: self._contents[name] for name in self._contents if name in kept}


def read_example_images(path: str | os.PathLike) -> tuple[dict[int, str], dict[str, dict]]:
    """File name of the image of each category, and content of each image by its file name.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    content = read_json(path)
    try:
        chosen = {row["category_id"]: row["file_name"] for row in content["categories"]}
        return chosen, {name: content["images"][name] for name in chosen.values()}
    except (TypeError, LookupError) as error:
        raise InputError(f"{path} is damaged: evaluate again (train_net.py --eval-only)") from error


def _rank(found: tuple[float, str]) -> tuple[float, str]:
    share, file_name = found
    return -share, file_name
