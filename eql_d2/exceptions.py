class InputError(ValueError):
    """What the user gave is wrong: a file, a config value, an argument.

    The message is one line that names the thing, its value and the fix; several problems at once
    are several arguments. ``train_net.py`` prints the lines alone and exits with 1; anything else
    is a defect of ours and keeps its traceback.
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    @property
    def problems(self) -> list[str]:
        """The lines; of a data loader's worker without the traceback that it puts before them."""
        return [str(message).strip().splitlines()[-1] for message in self.args]


class TrainingError(RuntimeError):
    """A training cannot go on, by no defect of ours: a full disk, numbers that are not finite.

    One line, too, which ``train_net.py`` prints alone; it exits with 1.
    """

    problems = InputError.problems
