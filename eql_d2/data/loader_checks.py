"""The checks of own data for what a loader loads: data sets may have been registered by others."""

from collections.abc import Callable, Iterable, Sequence

from detectron2.data import DatasetMapper, MetadataCatalog

from .classification_mapper import ClassificationMapper
from .datasets.checks import check_files
from .image_files import MAX_IMAGE_PIXELS
from .sem_seg_mapper import SemSegMapper
from .training_records import training_records
from .validation.findings import Findings
from .validation.images import NUM_SAMPLES, check_images, sample
from .validation.mask_kinds import check_mask_format

# Mappers of others may find images in their own way.
_MAPPERS = (DatasetMapper, ClassificationMapper, SemSegMapper)
# Metadata that the registration of own data gives, which has looked at the images.
_OWN = {"num_annotated_images", "max_image_pixels"}
# Of larger data an even sample is looked for: a network file system takes its time.
_MOST_FILES = 200_000


def check_training_records(mapper: Callable[[dict], dict] | None, records: Sequence[dict]) -> None:
    """Look for the images of training data, and compare their masks with the mapper.

    Args:
        mapper: of the records.
        records: in Detectron2's standard format.

    Raises:
        InputError: an image is missing, or the masks are not of the kind that the mapper takes.
    """
    if isinstance(mapper, _MAPPERS):
        _look_for_files(Findings("training data"), records)
    check_mask_format(mapper, records)


def check_test_images(names: Sequence[str], build_loader: Callable[[], Iterable]) -> None:
    """Look for the images of test data, and read an even sample of them: what is missing should not
    come to light after the training.

    Args:
        names: of the data sets. Own data have been checked at their registration.
        build_loader: of the test data.

    Raises:
        InputError: an image is missing, or one of the sample cannot be used.
    """
    if not any(_OWN.isdisjoint(MetadataCatalog.get(name).as_dict()) for name in names):
        return
    found = training_records(build_loader())
    if found is not None and isinstance(found.mapper, _MAPPERS):
        findings = Findings(f"test data {', '.join(map(repr, names))}")
        records = _look_for_files(findings, found.records)
        check_images(findings, sample(records, NUM_SAMPLES), MAX_IMAGE_PIXELS)
        findings.raise_error()


def _look_for_files(findings: Findings, records: Sequence[dict]) -> list[dict]:
    # Detectron2 reads URLs, too.
    local = [r for r in sample(records, _MOST_FILES) if "://" not in r.get("file_name", "://")]
    found = check_files(findings, "", local)
    findings.raise_error()
    return found
