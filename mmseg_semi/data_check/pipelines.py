# Copyright (c) mmseg_semi authors.
"""Pipelines tried on a few images before training."""
import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.seeding import position_seed
from mmseg_semi.datasets.transforms import MultiBranch
from .findings import ERROR, WARNING, Finding
from .sets import LABELLED, SOURCE, TEST, UNLABELLED, VALIDATION

_TRIES = 3
_LONGEST = 400  # characters of a message
# Transforms that open or read a mask whatever the image has.
_MASK_READERS = ('LoadAnnotations', 'LoadStrictAnnotations',
                 'LoadBiomedicalAnnotation', 'LoadDepthAnnotation',
                 'GenerateEdge', 'RandomMosaic')
_VIEWS = ("dict(type='MultiBranch', branch_field=['sup', 'unsup_teacher', "
          "'unsup_student'], unsup_teacher=[dict(type='PackSemiInputs')], "
          "unsup_student=[dict(type='SemiColorJitter'), "
          "dict(type='PackSemiInputs')])")


@dataclass
class Trial:
    """A pipeline and the set that it loads.

    Attributes:
        name (str): Of the set, as in :class:`ImageSet`.
        where (str): The setting that holds the pipeline, without
            ``.pipeline``.
        pipeline (list[dict]): Its transforms.
        dataset (BaseSegDataset): Built, without a pipeline.
        wrapped (bool): Whether a wrapper of the dataset goes on with what
            the pipeline returns.
    """
    name: str
    where: str
    pipeline: list[dict]
    dataset: BaseSegDataset
    wrapped: bool = False


class _Trouble(Exception):
    """A transform that does not work, with what to do."""

    def __init__(self, place: str, value: str, remedy: str) -> None:
        super().__init__(place, value, remedy)


def try_pipeline(trial: Trial, bad: Collection[str] = ()) -> list[Finding]:
    """Send up to three images of a set through its pipeline.

    Random numbers of the caller stay as they are.

    Args:
        trial (Trial): What to try.
        bad (Collection[str]): Files that are known not to load; they are
            not tried.

    Returns:
        list[Finding]: At most one, of the kind ``pipeline-fails``: the first
        transform that fails, or what the result lacks.
    """
    severity = WARNING if trial.name == TEST else ERROR
    try:
        _refuse_mask_readers(trial)
        for info in _samples(trial.dataset, bad):
            with position_seed(0, 0):
                _try_sample(trial, info)
    except _Trouble as trouble:
        place, value, remedy = trouble.args
        return [
            Finding('pipeline-fails', severity, trial.name,
                    f'{trial.where}.{place}', value, remedy)
        ]
    return []


def branches_differ(trials: list[Trial]) -> Iterator[Finding]:
    """All sets that are trained on must name the same branches."""
    fields = {}
    for trial in trials:
        last = trial.pipeline[-1] if trial.pipeline else {}
        if trial.name in (LABELLED, UNLABELLED, SOURCE) and _is(
                last, 'MultiBranch') and 'branch_field' in last:
            fields.setdefault(tuple(last['branch_field']), trial)
    if len(fields) > 1:
        (first, _), (second, trial) = list(fields.items())[:2]
        yield Finding(
            'pipeline-fails', ERROR, trial.name,
            f'{trial.where}.pipeline[{len(trial.pipeline) - 1}] '
            '(MultiBranch)',
            f'branch_field={list(second)}, elsewhere {list(first)}',
            'Give all pipelines of the training the same branch_field.')


def _samples(dataset: BaseSegDataset, bad: Collection[str]) -> list[dict]:
    usable = [
        i for i, info in enumerate(dataset.data_list)
        if bad.isdisjoint((info['img_path'], info.get('seg_map_path')))
    ] if bad else range(len(dataset))
    if not usable:
        return []
    chosen = dict.fromkeys(usable[i * (len(usable) - 1) // (_TRIES - 1)]
                           for i in range(_TRIES))
    return [dataset.get_data_info(i) for i in chosen]


def _refuse_mask_readers(trial: Trial) -> None:
    """Find in an unlabelled pipeline what would need a mask.

    Also where chance decides whether it runs.
    """
    if trial.name != UNLABELLED:
        return
    for i, step in enumerate(trial.pipeline):
        for inner in _configs(step):
            kind = inner['type']
            kind = getattr(kind, '__name__', kind).rpartition('.')[2]
            place = f'pipeline[{i}] ({kind})'
            if kind in _MASK_READERS:
                raise _Trouble(
                    place, 'reads a mask, and unlabelled images have none',
                    'Take it out of the unlabelled pipeline' +
                    ("; dict(type='InitValidMap') in its place tells images "
                     'from padding.' if kind.startswith('Load') else '.'))
            if inner.get('cat_max_ratio', 1.) < 1:
                raise _Trouble(
                    place, f'cat_max_ratio={inner["cat_max_ratio"]} looks at '
                    'a mask, and unlabelled images have none',
                    'Leave cat_max_ratio out of the unlabelled pipeline.')


def _configs(step) -> Iterator[dict]:
    """A transform's config and all that are inside it."""
    if isinstance(step, dict):
        if 'type' in step:
            yield step
        for value in step.values():
            yield from _configs(value)
    elif isinstance(step, (list, tuple)):
        for value in step:
            yield from _configs(value)


def _try_sample(trial: Trial, info: dict) -> None:
    resizer = {}
    result = _run(trial.pipeline, info, 'pipeline', info['img_path'], resizer)
    if result is None or trial.wrapped:  # dropped by a transform on purpose
        return
    last = 'pipeline'
    if trial.pipeline:
        last += (f'[{len(trial.pipeline) - 1}] '
                 f'({_name(trial.pipeline[-1])})')
    if not isinstance(result, dict) or 'inputs' not in result:
        raise _Trouble(
            last, 'the pipeline does not pack its samples',
            'End it with ' + (_VIEWS if trial.name == UNLABELLED else
                              "dict(type='PackSegInputs')") + '.')
    if trial.name in (LABELLED, SOURCE):
        _judge_labelled(result, last)
    elif trial.name == UNLABELLED:
        _judge_unlabelled(result, last)
    else:
        _judge_evaluation(trial.name, result, last, resizer)


def _judge_labelled(result: dict, last: str) -> None:
    image, sample = result['inputs'], result['data_samples']
    if isinstance(image, dict):
        image, sample = image.get('sup'), sample.get('sup')
        if sample is None:
            raise _Trouble(
                last, 'labelled images do not reach the branch sup',
                "Give MultiBranch sup=[dict(type='PackSemiInputs')"
                '].')
    if 'gt_sem_seg' not in sample:
        raise _Trouble(
            'pipeline', 'no mask is loaded',
            "Add dict(type='LoadStrictAnnotations') after the "
            'image is loaded.')
    mask, size = sample.gt_sem_seg.data.shape[-2:], image.shape[-2:]
    if mask != size:
        raise _Trouble(
            'pipeline', f'the image becomes {_size(size)}, its mask '
            f'{_size(mask)}', 'Load the mask before anything that changes '
            'the size of the image.')


def _judge_unlabelled(result: dict, last: str) -> None:
    if not isinstance(result['inputs'], dict):
        raise _Trouble(
            last, 'unlabelled images need views for teacher and student',
            f'End the pipeline with {_VIEWS} instead, or the branches that '
            'the method base has.')


def _judge_evaluation(name: str, result: dict, last: str,
                      resizer: dict) -> None:
    if isinstance(result['inputs'], dict):
        raise _Trouble(last, 'makes the branches of a training',
                       "End this pipeline with dict(type='PackSegInputs').")
    sample = result['data_samples']
    if 'gt_sem_seg' not in sample:
        if name == VALIDATION:
            raise _Trouble(
                'pipeline', 'no mask is loaded, nothing is scored',
                "Add dict(type='LoadAnnotations') before "
                'PackSegInputs.')
        return
    mask = tuple(sample.gt_sem_seg.data.shape[-2:])
    original = tuple(sample.metainfo.get('ori_shape', mask)[:2])
    if mask != original:
        raise _Trouble(
            resizer.get('place', last),
            f'the mask becomes {_size(mask)}, predictions are scored in the '
            f'{_size(original)} of the image',
            "Move dict(type='LoadAnnotations') behind what changes the size "
            'of the image.')


def _run(steps: list, results: dict, place: str, path: str,
         resizer: dict) -> dict | None:
    """The transforms one after the other; tells which one fails.

    Args:
        steps (list[dict | Callable]): The transforms.
        results (dict): What they begin with.
        place (str): Name of the list.
        path (str): The image.
        resizer (dict): ``place`` of the first that changes the size of a
            mask is written here.
    """
    for i, step in enumerate(steps):
        here = f'{place}[{i}] ({_name(step)})'
        transform = _built(step, here)
        if isinstance(transform, MultiBranch):
            for branch, inner in transform.branch_pipelines.items():
                _run(inner.transforms, copy.deepcopy(results),
                     f'{place}[{i}].{branch}', path, {})
        before = _mask_shape(results)
        try:
            results = transform(results)
        except Exception as error:  # transforms raise what they like
            raise _failure(here, error, path) from error
        if results is None:
            return None
        if None not in (before, after := _mask_shape(results)) and (before
                                                                    != after):
            resizer.setdefault('place', here)
    return results


def _built(step, here: str) -> BaseTransform:
    if not isinstance(step, dict):
        return step
    try:
        return TRANSFORMS.build(step)
    except Exception as error:
        raise _Trouble(here, f'cannot be built: {_text(error)}',
                       'Check its name and its arguments.') from error


def _failure(here: str, error: Exception, path: str) -> _Trouble:
    value = f'fails on {path}: {_text(error)}'
    if isinstance(error, KeyError) and 'gt_s' in str(error):
        return _Trouble(
            here, value, 'It needs the mask: put '
            "dict(type='LoadAnnotations') before it.")
    return _Trouble(
        here, value, 'Correct this transform, or one before it whose result '
        'it takes.')


def _text(error: Exception) -> str:
    text = ' '.join(str(error).split())
    more = ' ...' if len(text) > _LONGEST else ''
    return f'{type(error).__name__}: {text[:_LONGEST]}{more}'


def _mask_shape(results) -> tuple | None:
    mask = results.get('gt_seg_map') if isinstance(results, dict) else None
    return None if mask is None else tuple(mask.shape[:2])


def _name(step) -> str:
    kind = step.get('type') if isinstance(step, dict) else type(step)
    return getattr(kind, '__name__', str(kind))


def _is(step, name: str) -> bool:
    return isinstance(step, dict) and _name(step).rpartition('.')[2] == name


def _size(shape: tuple[int, int]) -> str:
    return f'{shape[1]} x {shape[0]}'
