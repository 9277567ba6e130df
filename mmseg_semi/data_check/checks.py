# Copyright (c) mmseg_semi authors.
"""All rules, on all sets."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mmengine.config import Config

from . import file_rules, folder_rules, mask_rules, overlap_rules, pair_rules
from .cache import FactCache
from .config_sets import build_sets
from .findings import ERROR, Finding, Report
from .pipelines import branches_differ, try_pipeline
from .scan import Facts, scan
from .sets import LABELLED, VALIDATION, ImageSet

_OF_A_SET = (file_rules.unreadable, file_rules.sizes, file_rules.rotations,
             file_rules.formats, file_rules.huge, mask_rules.mask_formats,
             mask_rules.ids, pair_rules.repeated_masks, overlap_rules.repeated)
_OF_ITS_PATHS = (folder_rules.empty, folder_rules.hidden, folder_rules.loops,
                 folder_rules.equal_names)
_OF_ALL_SETS = (overlap_rules.shared, overlap_rules.masks_as_images)


def check_config(cfg: Config, pipelines: bool = True, **kwargs) -> Report:
    """Check the data of a training config, and its pipelines on some of them.

    Args:
        cfg (Config): With ``train_dataloader``, ``val_dataloader`` or
            ``test_dataloader``.
        pipelines (bool): Whether to try the pipelines.
        **kwargs: Of :func:`check_sets`.

    Returns:
        Report: Also what kept a set from being built.
    """
    built = build_sets(cfg)
    report = check_sets(built.sets, findings=built.findings, **kwargs)
    if not pipelines:
        return report.with_short_paths()
    bad = set()
    for finding in report.findings:
        if finding.severity == ERROR or finding.kind == 'unreadable-image':
            bad.update(finding.files or (finding.path, ))
    found = list(branches_differ(built.trials))
    for trial in built.trials:
        found += try_pipeline(trial, bad)
    report = replace(report, findings=report.findings + found)
    return report.with_short_paths()


def check_sets(sets: Sequence[ImageSet],
               findings: Iterable[Finding] = (),
               cache: FactCache | None = None,
               workers: int | None = None,
               progress: Callable[[int, int], None] | None = None) -> Report:
    """Check sets, each by itself and against the others.

    Args:
        sets (Sequence[ImageSet]): See :func:`sets_from_config` and
            :func:`folder_set`.
        findings (Iterable[Finding]): What is known already.
        cache (FactCache, optional): Facts of unchanged files.
        workers (int, optional): Threads, see :func:`scan`.
        progress (Callable[[int, int], None], optional): Called with the
            number of files done and of all files.

    Returns:
        Report: Every finding.
    """
    files = (pair for images in sets for pair in images.files())
    facts = scan(files, cache, workers, progress)
    groups = {}
    for images in sets:
        groups.setdefault(images.name, []).append(images)
    found = [
        *findings, *_apply(sets, facts), *classes_differ(sets),
        *one_class(sets)
    ]
    report = Report(found)
    for name, group in groups.items():
        report.images[name] = sum(len(images.images) for images in group)
        pixels, complete = mask_rules.class_pixels(group, facts)
        if pixels and complete:
            report.pixels[name] = pixels
    return report


def classes_differ(sets: Sequence[ImageSet]) -> Iterator[Finding]:
    """All sets with classes must have the same, in the same order."""
    sets = [images for images in sets if images.classes is not None]
    for images in sets[1:]:
        first = sets[0]
        if images.classes == first.classes:
            continue
        order = sorted(images.classes) == sorted(first.classes)
        yield Finding(
            'classes-differ', ERROR, images.name, images.where,
            f'{list(images.classes)}, but the {first.name} set has '
            f'{list(first.classes)}', 'Bring the classes into one order, and '
            'the ids of the masks with them.' if order else
            'Give all sets the same `metainfo` (or dataset type) with the '
            'same classes.')


def one_class(sets: Sequence[ImageSet]) -> Iterator[Finding]:
    """Sets to train on must have two classes."""
    for images in sets:
        if images.name == LABELLED and len(images.classes or 'ab') == 1:
            name = images.classes[0]
            yield Finding(
                'one-class', ERROR, images.name, images.where,
                f'there is one class, "{name}", and nothing to tell apart',
                f"Give the rest a class, too: classes=('background', "
                f'{name!r}), ids 0 and 1 in the masks, model.num_classes=2.')


def _apply(sets: Sequence[ImageSet], facts: Facts) -> Iterator[Finding]:
    for images in sets:
        for rule in _OF_ITS_PATHS:
            yield from rule(images)
        for rule in _OF_A_SET:
            yield from rule(images, facts)
    yield from folder_rules.left_out(sets)
    for rule in _OF_ALL_SETS:
        yield from rule(sets, facts)
    names = dict.fromkeys(s.name for s in sets if s.masks)
    for name in names:
        group = [s for s in sets if s.name == name and s.masks]
        yield from mask_rules.contents(group, facts)
        if name in (LABELLED, VALIDATION):
            yield from pair_rules.agreement(group, facts)
