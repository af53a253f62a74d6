"""What images and mappers must be so that images can be mixed before the mapper."""

from collections.abc import Callable, Sequence

from ..exceptions import InputError
from .dataset_mapper import DatasetMapper


def check_mixable(
    what: str, key: str, mapper: Callable[[dict], dict], records: Sequence[dict]
) -> None:
    """Refuse a mapper that cannot read the other images, and data of more than instances.

    Args:
        what: what mixes, for the message, for example "a mosaic".
        key: of the yaml config that switches it on.
        mapper: of the training data.
        records: the training data.

    Raises:
        InputError: the mapper is of another class than :class:`eql_d2.data.DatasetMapper` or reads
            something else than colours of 8 bits, or the images have label maps or proposals.
    """
    if not isinstance(mapper, DatasetMapper):
        given = f"{type(mapper).__module__}.{type(mapper).__qualname__}"
        raise InputError(
            f"the mapper of {what} is of {given}: give one of eql_d2.data.DatasetMapper, which "
            "reads the other images too"
        )
    if mapper.image_format not in ("BGR", "RGB"):
        raise InputError(
            f"image_format of the mapper (INPUT.FORMAT) is {mapper.image_format!r}: {what} mixes "
            "'BGR' or 'RGB'"
        )
    for name in ("sem_seg_file_name", "proposal_boxes"):
        if len(records) and name in records[0]:
            raise InputError(
                f"the training data have {name}, which {what} does not mix: set {key} False, or "
                "leave it out of them"
            )
