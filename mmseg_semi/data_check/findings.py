# Copyright (c) mmseg_semi authors.
"""What a check has found, all of it at once."""
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

from mmseg_semi.datasets.paths import short_path

ERROR, WARNING = 'error', 'warning'

# The names are the same in every version: what a user accepts is named so.
KINDS = {
    'classes-differ': 'sets with different classes',
    'classes-unclear': 'sets whose classes are not clear',
    'empty-class': 'classes without a pixel',
    'empty-set': 'sets without an image',
    'equal-names': 'images whose outputs have one name',
    'exif-orientation': 'images that are turned when loaded',
    'hidden-folder': 'images in hidden folders',
    'huge-image': 'files too large to look at',
    'ignore-index': 'another id for pixels without a label',
    'left-out': 'pictures that a set leaves out',
    'link-loop': 'links that lead in a circle',
    'mask-0-255': 'masks that hold 0 and 255',
    'mask-all-ignored': 'masks without a labelled pixel',
    'mask-as-image': 'masks taken for images',
    'mask-colour': 'colour pictures instead of label maps',
    'mask-ids': 'ids that are no class',
    'mask-ids-over-255': 'ids that do not fit into 8 bits',
    'mask-lossy': 'masks compressed with loss',
    'mask-not-whole': 'masks with NaN or fractions',
    'mask-of-another': 'masks that do not follow their images',
    'mask-repeated': 'one mask for many images',
    'masks-contradict': 'one image with several masks',
    'no-masks': 'a test set without masks',
    'not-checked': 'sets whose files are not known',
    'one-class': 'labels of one class only',
    'pipeline-fails': 'pipelines that do not work',
    'pixel-format': 'images of another number of bands',
    'pixel-range': 'images of more than 8 bits',
    'repeated-image': 'images that a set holds twice',
    'set-not-built': 'sets that cannot be built',
    'several-pages': 'files of several pictures',
    'shared-image': 'images that two sets share',
    'size-differs': 'masks of another size than their images',
    'unreadable-image': 'images that cannot be read',
    'unreadable-mask': 'masks that cannot be read',
}


class DataError(ValueError):
    """The data are not fit for training; the message lists every reason.

    Attributes:
        findings (Sequence[Finding]): Errors and warnings; empty in processes
            that did not check.
    """

    def __init__(self, message: str,
                 findings: Sequence['Finding'] = ()) -> None:
        super().__init__(message)
        self.findings = findings


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a data set.

    Attributes:
        kind (str): A key of ``KINDS``.
        severity (str): ``'error'`` (training must not start) or
            ``'warning'``.
        set (str): Name of the set, ``'labelled'`` for instance.
        path (str): The first file (or folder, or setting) concerned.
        value (str): What was found there.
        remedy (str): What to do.
        files (tuple[str]): All files concerned; empty if it is ``path``
            alone.
    """
    kind: str
    severity: str
    set: str
    path: str
    value: str
    remedy: str
    files: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """Everything for JSON; ``files`` is never empty."""
        return dict(asdict(self), files=list(self.files) or [self.path])


@dataclass
class Report:
    """The findings of a check and what it counted.

    Attributes:
        findings (list[Finding]): Errors first, then by kind, set and path.
        images (dict[str, int]): Set -> number of images.
        pixels (dict[str, dict[str, int]]): Set -> class -> labelled pixels,
            for sets whose masks could all be counted.
    """
    findings: list[Finding]
    images: dict[str, int] = field(default_factory=dict)
    pixels: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings = sorted(
            self.findings,
            key=lambda f:
            (f.severity != ERROR, f.kind, f.remedy, f.set, f.path))

    @property
    def errors(self) -> list[Finding]:
        """list[Finding]: What must be mended before training."""
        return [f for f in self.findings if f.severity == ERROR]

    @property
    def warnings(self) -> list[Finding]:
        """list[Finding]: What should be looked at."""
        return [f for f in self.findings if f.severity == WARNING]

    def accept(self, kinds: Collection[str]) -> 'Report':
        """The same report with errors of some kinds as warnings.

        Raises:
            ValueError: If there is no such kind.
        """
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ValueError(
                f'There is no finding of the kind {", ".join(unknown)}. Kinds '
                f'are: {", ".join(KINDS)}.')
        return replace(
            self,
            findings=[
                replace(f, severity=WARNING) if f.kind in kinds else f
                for f in self.findings
            ])

    def with_short_paths(self) -> 'Report':
        """The same report with paths as a person would write them."""
        return replace(self, findings=list(map(_readable, self.findings)))

    def summary(self) -> str:
        """One line: images of every set, numbers of errors and warnings."""
        sets = ', '.join(f'{name} {count}'
                         for name, count in self.images.items())
        return (f'Images: {sets or "none"}. '
                f'{_plural(len(self.errors), "error")}, '
                f'{_plural(len(self.warnings), "warning")}.')

    def as_table(self, limit: int = 5) -> str:
        """All findings as text, grouped by kind and remedy.

        Args:
            limit (int): Lines shown of a group; the rest is counted.

        Returns:
            str: A line for each finding with set, path and value, and the
            remedy below each group.
        """
        groups = {}
        for finding in self.findings:
            key = finding.severity, finding.kind, finding.remedy
            groups.setdefault(key, []).append(finding)
        lines = [self.summary()]
        for (severity, kind, remedy), members in groups.items():
            lines += ['', f'{severity}: {KINDS[kind]} ({kind})']
            lines += _rows(members[:limit])
            if len(members) > limit:
                lines.append(f'  ... and {len(members) - limit} more')
            lines.append(f'  -> {remedy}')
        return '\n'.join(lines)

    def as_dict(self) -> dict:
        """Everything for JSON, without limits."""
        return dict(
            images=self.images,
            pixels=self.pixels,
            errors=len(self.errors),
            warnings=len(self.warnings),
            findings=[finding.as_dict() for finding in self.findings])

    def raise_errors(self, limit: int = 5) -> None:
        """Stop if there are errors.

        Raises:
            DataError: With the whole table, warnings too.
        """
        if self.errors:
            raise DataError(
                'The data are not fit for training.\n'
                f'{self.as_table(limit)}', self.findings)


def gather(kind: str, severity: str, set: str, files: Iterable[str],
           value: str, remedy: str) -> list[Finding]:
    """One finding about many files; none if there are no files."""
    files = tuple(files)
    if not files:
        return []
    return [
        Finding(kind, severity, set, files[0], value, remedy,
                files if len(files) > 1 else ())
    ]


def _readable(finding: Finding) -> Finding:
    """With paths that a person would write."""
    paths = finding.path, *finding.files
    if not any(os.pardir in path for path in paths):
        return finding
    path, *files = map(short_path, paths)
    return replace(finding, path=path, files=tuple(files))


def _rows(findings: list[Finding]) -> list[str]:
    paths = [
        f.path + (f' (and {len(f.files) - 1} more)' if f.files else '')
        for f in findings
    ]
    widths = max(len(f.set) for f in findings), max(map(len, paths))
    return [
        f'  {f.set:{widths[0]}}  {path:{widths[1]}}  {f.value}'.rstrip()
        for f, path in zip(findings, paths)
    ]


def _plural(count: int, noun: str) -> str:
    return f'{count} {noun}{"s" * (count != 1)}'
