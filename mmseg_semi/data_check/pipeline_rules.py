# Copyright (c) mmseg_semi authors.
"""Rules about what the pipelines make of images, beside each other."""
from collections.abc import Iterator, Sequence

from .facts import IMAGE
from .findings import ERROR, WARNING, Finding
from .pipelines import Trial, configs, image_size, is_named
from .scan import Facts
from .sets import LABELLED, SOURCE, TEST, UNLABELLED

_SCALE = 16  # times brighter, by an image of three, is another scale
_TINY = 1e-6
_TRAINED = (LABELLED, UNLABELLED, SOURCE)


def branches_differ(trials: Sequence[Trial]) -> Iterator[Finding]:
    """All sets that are trained on must name the same branches."""
    fields = {}
    for trial in trials:
        last = trial.pipeline[-1] if trial.pipeline else {}
        if trial.name in _TRAINED and is_named(
                last, 'MultiBranch') and 'branch_field' in last:
            fields.setdefault(tuple(last['branch_field']), trial)
    if len(fields) > 1:
        (first, _), (second, trial) = list(fields.items())[:2]
        yield _finding(
            trial, ERROR, f'[{len(trial.pipeline) - 1}] (MultiBranch)',
            f'branch_field={list(second)}, elsewhere {list(first)}',
            'Give all pipelines of the training the same branch_field.')


def formats_differ(trials: Sequence[Trial],
                   mean: Sequence[float] | None) -> Iterator[Finding]:
    """Images must reach the network with the same bands and scale.

    Args:
        trials (Sequence[Trial]): After they were tried.
        mean (Sequence[float], optional): Of the preprocessor.
    """
    tried = [trial for trial in trials if trial.bands]
    for trial in tried:
        first = tried[0]
        wanted = min(first.bands) if mean is None else len(mean)
        if trial.bands != {wanted}:
            where = (f'the {first.name} set has' if mean is None else
                     'data_preprocessor.mean has numbers for')
            yield _finding(
                trial, WARNING if trial.name == TEST else ERROR, '',
                f'images with {_either(trial.bands)} band(s), {where} '
                f'{wanted}', 'Load all sets with the same bands (color_type, '
                'or LoadBands bands=...), and give mean and std of '
                'data_preprocessor a number for each.')
        elif not 1 / _SCALE < (trial.highest + _TINY) / (first.highest +
                                                         _TINY) < _SCALE:
            yield _finding(
                trial, WARNING, '', f'values up to {trial.highest:.3g}, in '
                f'the {first.name} set up to {first.highest:.3g}',
                'Load and scale all sets in one way, unless their images '
                'differ so much.')


def normalised_twice(trials: Sequence[Trial],
                     mean: Sequence[float] | None) -> Iterator[Finding]:
    """A pipeline must not normalise what the preprocessor normalises."""
    if mean is None:
        return
    for trial in trials:
        for i, step in enumerate(trial.pipeline):
            if any(is_named(inner, 'Normalize') for inner in configs(step)):
                yield _finding(
                    trial, WARNING if trial.name == TEST else ERROR,
                    f'[{i}] (Normalize)',
                    'normalises, and model.data_preprocessor does so once '
                    f'more (mean={[round(float(m), 3) for m in mean]})',
                    'Take it out of the pipeline, or set mean=None and '
                    'std=None of data_preprocessor.')


def sizes_differ(trials: Sequence[Trial], facts: Facts) -> Iterator[Finding]:
    """Images that are scored in one batch must have one size.

    Training pads them; scores would change with the padding.

    Args:
        trials (Sequence[Trial]): After they were tried.
        facts (dict): Of the images.
    """
    for trial in trials:
        if trial.name in _TRAINED or trial.batch_size == 1 or not trial.bands:
            continue
        sizes = {}
        for info in trial.dataset.data_list:
            image = facts[info['img_path'], IMAGE]
            if not image.problem:
                sizes.setdefault(image.size, info)
        infos = list(sizes.values())[:2]
        made = [image_size(trial, info) for info in infos]
        if len(set(made)) < 2 or None in made:
            continue
        (first, second), (path, other) = made, [i['img_path'] for i in infos]
        yield Finding(
            'pipeline-fails', WARNING if trial.name == TEST else ERROR,
            trial.name, path,
            f'becomes {first[1]} x {first[0]}, {other} {second[1]} x '
            f'{second[0]}, and a batch has {trial.batch_size} images',
            f'Set batch_size=1 of {trial.where.removesuffix(".dataset")}.')


def _finding(trial: Trial, severity: str, place: str, value: str,
             remedy: str) -> Finding:
    return Finding('pipeline-fails', severity, trial.name,
                   f'{trial.where}.pipeline{place}', value, remedy)


def _either(numbers: set[int]) -> str:
    return ' or '.join(map(str, sorted(numbers)))
