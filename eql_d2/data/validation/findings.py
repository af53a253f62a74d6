"""All that is wrong with a data set: grouped by kind, with counts and the first examples."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ...exceptions import InputError
from .contents import Contents

NUM_EXAMPLES = 3
_COMMAND = "python -m eql_d2.data validate"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Problems of one kind.

    Attributes:
        kind: heading, in the plural.
        is_error: whether training or evaluation would fail or be wrong; otherwise a warning.
        count: how many there are.
        examples: the first ones, a line each.
        fix: what to do; empty where the examples say it.
        line: the example for an error of one line.
    """

    kind: str
    is_error: bool
    count: int
    examples: tuple[str, ...]
    fix: str
    line: str


class Findings:
    """What the rules have found in one data set, in their order.

    Args:
        where: beginning of an error of one line, for example "data set 'own'"; may be empty.
        is_test: whether the data are known to be tested on, not trained on: what is to be done
            about a finding may differ.

    Attributes:
        contents: what the data hold, to be compared with others; None where it is not known.
    """

    def __init__(self, where: str = "", is_test: bool = False) -> None:
        self._where = where
        self.is_test = is_test
        self.contents: Contents | None = None
        self._findings: list[Finding] = []

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self._findings if finding.is_error]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self._findings if not finding.is_error]

    def error(
        self,
        kind: str,
        fix: str,
        offenders: Sequence[Any],
        describe: Callable[[Any], str] = str,
        line: str | None = None,
        num_examples: int | None = NUM_EXAMPLES,
    ) -> None:
        """Add an error if there are offenders.

        Args:
            kind: heading, in the plural.
            fix: what to do.
            offenders: one item for each problem.
            describe: the line for an offender; called for the examples only.
            line: the example for an error of one line; None takes the first.
            num_examples: most lines; None for all.
        """
        self._add(True, kind, fix, offenders, describe, line, num_examples)

    def warning(
        self,
        kind: str,
        fix: str,
        offenders: Sequence[Any],
        describe: Callable[[Any], str] = str,
        num_examples: int | None = NUM_EXAMPLES,
    ) -> None:
        """Add a warning if there are offenders; arguments as for :meth:`error`."""
        self._add(False, kind, fix, offenders, describe, None, num_examples)

    def _add(self, is_error, kind, fix, offenders, describe, line, num_examples) -> None:
        if len(offenders):
            examples = tuple(describe(offender) for offender in offenders[:num_examples])
            finding = Finding(kind, is_error, len(offenders), examples, fix, line or examples[0])
            self._findings.append(finding)

    def raise_error(self) -> None:
        """Raise the first error, if there is one, with the number of the others.

        Raises:
            InputError: there is an error.
        """
        if not self.errors:
            return
        first, count = self.errors[0], sum(error.count for error in self.errors)
        others = f" ({count} problems like this or others: {_COMMAND} lists them)"
        where = f"{self._where}: " if self._where else ""
        fix = f": {first.fix}" if first.fix else ""
        raise InputError(f"{where}{first.line}{fix}{others if count > 1 else ''}")

    def log_warnings(self, logger: logging.Logger) -> None:
        """Log each kind of warning in one line."""
        where = f"{self._where}: " if self._where else ""
        for finding in self.warnings:
            others = f", and {finding.count - 1:,} more" if finding.count > 1 else ""
            fix = f": {finding.fix}" if finding.fix else ""
            logger.warning(f"{where}{finding.line}{others}{fix}")

    def summary(self) -> str:
        """How many kinds there are, for the first line of the report."""
        counts = {"error": len(self.errors), "warning": len(self.warnings)}
        kinds = [f"{n} kind{'s' * (n > 1)} of {what}s" for what, n in counts.items() if n]
        return " and ".join(kinds) or "no errors, no warnings"

    def format(self) -> str:
        """The report: errors first, a block for each kind."""
        lines = []
        for finding in [*self.errors, *self.warnings]:
            severity = "error" if finding.is_error else "warning"
            lines.append(f"{severity}: {finding.kind} ({finding.count:,})")
            lines += [f"    {example}" for example in finding.examples]
            if finding.count > len(finding.examples):
                lines.append(f"    ... {finding.count - len(finding.examples):,} more")
            lines += [f"    fix: {finding.fix}"] * bool(finding.fix)
        return "\n".join(lines)
