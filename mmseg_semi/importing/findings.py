# Copyright (c) mmseg_semi authors.
"""Faults of a user's data, gathered so that all are told at once."""
from collections.abc import Iterable
from dataclasses import dataclass

MAX_LINES = 20


@dataclass(frozen=True)
class Finding:
    """One fault at one place.

    Attributes:
        kind (str): What is wrong, the same words for all of its kind.
        path (str): Where.
        value (str): What was there.
        remedy (str): What to do, the same words for all of its kind.
        fatal (bool): Whether it stops the import.
    """
    kind: str
    path: str
    value: str
    remedy: str
    fatal: bool = True

    def as_dict(self) -> dict:
        """Everything for JSON, with the keys of all findings."""
        return dict(
            severity='error' if self.fatal else 'warning',
            kind=self.kind,
            path=self.path,
            value=self.value,
            remedy=self.remedy,
            files=[self.path])


class DataFaultsError(ValueError):
    """Data that cannot be imported; the message lists every fault.

    Attributes:
        findings (list[Finding]): The faults and the warnings.
    """

    def __init__(self, findings: list['Finding']) -> None:
        self.findings = findings
        fatal = [finding for finding in findings if finding.fatal]
        kinds = len({finding.kind for finding in fatal})
        super().__init__(
            f'nothing was written: {len(fatal)} fault(s) of {kinds} kind(s).\n'
            f'{listing(findings)}')


class Findings:
    """A growing list of faults and warnings.

    Attributes:
        all (list[Finding]): In the order of their discovery, none twice.
    """

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def error(self, kind: str, path, value, remedy: str) -> None:
        """Note a fault that stops the import, sooner or later."""
        self._add(Finding(kind, str(path), str(value), remedy))

    def warn(self, kind: str, path, value, remedy: str) -> None:
        """Note what the user should know."""
        self._add(Finding(kind, str(path), str(value), remedy, fatal=False))

    def _add(self, finding: Finding) -> None:
        if finding not in self.all:
            self.all.append(finding)

    def forget(self, kind: str) -> None:
        """Drop all findings of a kind."""
        self.all = [finding for finding in self.all if finding.kind != kind]

    @property
    def warnings(self) -> list[Finding]:
        """list[Finding]: Those that do not stop."""
        return [finding for finding in self.all if not finding.fatal]

    def stop_on_errors(self) -> None:
        """Stop if there is a fault.

        Raises:
            DataFaultsError: With all that was found so far.
        """
        if any(finding.fatal for finding in self.all):
            raise DataFaultsError(self.all)


def listing(findings: Iterable[Finding]) -> str:
    """Findings as text, a paragraph a kind, at most 20 lines each."""
    kinds: dict[tuple, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: not f.fatal):
        key = finding.fatal, finding.kind, finding.remedy
        kinds.setdefault(key, []).append(finding)
    paragraphs = []
    for (fatal, kind, remedy), found in kinds.items():
        lines = [f'{"error" if fatal else "warning"}: {kind}. {remedy}']
        lines += [f'  {f.path}: {f.value}' for f in found[:MAX_LINES]]
        if len(found) > MAX_LINES:
            lines.append(f'  and {len(found) - MAX_LINES} more')
        paragraphs.append('\n'.join(lines))
    return '\n'.join(paragraphs)
