# Copyright (c) mmseg_semi authors.
"""All rules, on all sets."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mmengine.config import Config

from . import file_rules, folder_rules, mask_rules, overlap_rules, pair_rules
from .cache import FactCache
from .class_rules import classes_differ, one_class
from .config_sets import build_sets
from .findings import ERROR, Finding, Report
from .pipeline_rules import (branches_differ, formats_differ, normalised_twice,
                             sizes_differ)
from .pipelines import try_pipeline
from .scan import Facts, scan
from .sets import LABELLED, VALIDATION, ImageSet

_OF_A_SET = (file_rules.unreadable, file_rules.sizes, file_rules.rotations,
             file_rules.formats, file_rules.huge, mask_rules.mask_formats,
             mask_rules.ids, pair_rules.repeated_masks, overlap_rules.repeated)
_OF_ITS_PATHS = (folder_rules.empty, folder_rules.hidden, folder_rules.loops,
                 folder_rules.equal_names)
_OF_ALL_SETS = (overlap_rules.shared, overlap_rules.masks_as_images)


def check_config(cfg: Config,
                 pipelines: bool = True,
                 mean: Sequence[float] | None = None,
                 **kwargs) -> Report:
    """Check the data of a training config, and its pipelines on some of them.

    Args:
        cfg (Config): With ``train_dataloader``, ``val_dataloader`` or
            ``test_dataloader``.
        pipelines (bool): Whether to try the pipelines.
        mean (Sequence[float], optional): What the preprocessor takes from
            each band. Defaults to None: what ``model`` says.
        **kwargs: Of :func:`check_sets`.

    Returns:
        Report: Also what kept a set from being built.
    """
    built = build_sets(cfg)
    report, facts = _check(built.sets, built.findings, **kwargs)
    if not pipelines:
        return report.with_short_paths()
    bad = set()
    for finding in report.findings:
        if finding.severity == ERROR or finding.kind == 'unreadable-image':
            bad.update(finding.files or (finding.path, ))
    found = list(branches_differ(built.trials))
    for trial in built.trials:
        found += try_pipeline(trial, bad)
    mean = _mean(cfg) if mean is None else mean
    found += normalised_twice(built.trials, mean)
    found += formats_differ(built.trials, mean)
    found += sizes_differ(built.trials, facts)
    report = replace(report, findings=report.findings + found)
    return report.with_short_paths()


def _mean(cfg: Config) -> Sequence[float] | None:
    """What the preprocessor takes from each band; None if it is not said."""
    model = cfg.get('model')
    parts = [model]
    if isinstance(model, dict):
        parts.append(model.get('segmentor'))
    for part in parts:  # a segmentor may be the name of a config, too
        given = part.get('data_preprocessor') if isinstance(part,
                                                            dict) else None
        if given and given.get('mean') is not None:
            return given['mean']
    return None


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
    return _check(sets, findings, cache, workers, progress)[0]


def _check(
    sets: Sequence[ImageSet],
    findings: Iterable[Finding],
    cache: FactCache | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None
) -> tuple[Report, Facts]:
    """The report, and the facts that it is made of."""
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
    return report, facts


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
