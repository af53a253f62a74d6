"""Text files with one class name a line."""

from ...exceptions import InputError


def read_class_file(name: str, class_file: str, most: int | None = None) -> list[str]:
    """Names of classes, one a line.

    Args:
        name: of the data set, for the message.
        class_file: text file.
        most: largest number of classes; None for any.

    Raises:
        InputError: the file cannot be read; there is no name, too many, or one twice.
    """
    where = f"data set {name!r}: class file {class_file!r}"
    try:
        with open(class_file, encoding="utf-8") as file:
            classes = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where} cannot be read ({error}): check the path") from error
    while classes and not classes[-1]:
        classes.pop()
    if not classes or len(classes) > (most or len(classes)):
        raise InputError(f"{where} has {len(classes)} classes: write 1 to {most or 'any'} lines")
    for i, class_name in enumerate(classes):
        if not class_name or class_name in classes[:i]:
            raise InputError(
                f"{where}: line {i + 1} is {class_name!r}, empty or there already: give each class "
                "a name of its own"
            )
    return classes
