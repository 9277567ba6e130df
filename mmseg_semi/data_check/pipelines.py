# Copyright (c) mmseg_semi authors.
"""Pipelines tried on a few images before training."""
import copy
import difflib
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.seeding import position_seed
from mmseg_semi.datasets.transforms import MultiBranch
from .findings import ERROR, WARNING, Finding
from .sets import LABELLED, SOURCE, TEST, UNLABELLED, VALIDATION

_TRIES = 3
_SEEDS = 8  # of a flip that is tossed for, 1 % would pass
_LONGEST = 400  # characters of a message
# Transforms that open or read a mask whatever the image has.
_MASK_READERS = ('LoadAnnotations', 'LoadStrictAnnotations',
                 'LoadBiomedicalAnnotation', 'LoadDepthAnnotation',
                 'GenerateEdge', 'RandomMosaic')
_RENAMED = {
    'DefaultFormatBundle':
    'take it out, and end with PackSegInputs.',
    'ImageToTensor':
    'take it out, and end with PackSegInputs.',
    'Collect':
    "write dict(type='PackSegInputs') instead.",
    'MultiScaleFlipAug':
    'write its transforms alone; tta_pipeline has the '
    'scales.',
}
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
        batch_size (int): Images that the network gets at a time.
        bands (set[int]): Of the images that came out.
        highest (float): The largest absolute value in them.
    """
    name: str
    where: str
    pipeline: list[dict]
    dataset: BaseSegDataset
    wrapped: bool = False
    batch_size: int = 1
    bands: set[int] = field(default_factory=set)
    highest: float = 0.


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
        samples = _samples(trial.dataset, bad)
        for info in samples:
            with position_seed(0, 0):
                _try_sample(trial, info)
        if samples and trial.name in (VALIDATION, TEST):
            _refuse_chance(trial, samples[0])
    except _Trouble as trouble:
        place, value, remedy = trouble.args
        return [
            Finding('pipeline-fails', severity, trial.name,
                    f'{trial.where}.{place}', value, remedy)
        ]
    return []


def image_size(trial: Trial, info: dict) -> tuple[int, int] | None:
    """Height and width that an image has after the pipeline.

    Args:
        trial (Trial): After it was tried.
        info (dict): Of ``dataset.data_list``.

    Returns:
        tuple[int, int] | None: None if no image comes out.
    """
    index = trial.dataset.data_list.index(info)
    try:
        with position_seed(0, 0):
            result = _run(trial.pipeline, trial.dataset.get_data_info(index),
                          'pipeline', info['img_path'], _Notes())
        image, *_ = _images(result['inputs'])
    except (_Trouble, TypeError, KeyError, ValueError):
        return None
    return tuple(image.shape[-2:])


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
        for inner in configs(step):
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


def configs(step) -> Iterator[dict]:
    """A transform's config and all that are inside it."""
    if isinstance(step, dict):
        if 'type' in step:
            yield step
        for value in step.values():
            yield from configs(value)
    elif isinstance(step, (list, tuple)):
        for value in step:
            yield from configs(value)


@dataclass
class _Notes:
    """What was seen on the way through a pipeline.

    Attributes:
        resizer (str): The first transform that changed the size of a mask.
        images (list[tuple[str, int]]): Transform and checksum of the image
            that it left.
    """
    resizer: str = ''
    images: list[tuple[str, int]] = field(default_factory=list)


def _refuse_chance(trial: Trial, info: dict) -> None:
    """Images that are scored must not change from run to run."""
    first = None
    for seed in range(_SEEDS):
        notes = _Notes()
        with position_seed(seed, 0):
            _run(trial.pipeline, copy.deepcopy(info), 'pipeline',
                 info['img_path'], notes)
        first = first or notes.images
        for (place, before), (_, now) in zip(first, notes.images):
            if before != now:
                raise _Trouble(
                    place, 'changes images by chance, their masks too '
                    'perhaps: scores differ from run to run, and flipped '
                    'masks do not fit the predictions',
                    'Take it out of this pipeline: augmentation is for '
                    'training.')


def _try_sample(trial: Trial, info: dict) -> None:
    notes = _Notes()
    result = _run(trial.pipeline, info, 'pipeline', info['img_path'], notes)
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
    for image in _images(result['inputs']):
        trial.bands.add(image.shape[0])
        trial.highest = max(trial.highest, float(image.float().abs().max()))
    if trial.name in (LABELLED, SOURCE):
        _judge_labelled(result, last)
    elif trial.name == UNLABELLED:
        _judge_unlabelled(result, last)
    else:
        _judge_evaluation(trial.name, result, last, notes.resizer)


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
                      resizer: str) -> None:
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
            resizer or last,
            f'the mask becomes {_size(mask)}, predictions are scored in the '
            f'{_size(original)} of the image',
            "Move dict(type='LoadAnnotations') behind what changes the size "
            'of the image.')


def _run(steps: list, results: dict, place: str, path: str,
         notes: _Notes) -> dict | None:
    """The transforms one after the other; tells which one fails.

    Args:
        steps (list[dict | Callable]): The transforms.
        results (dict): What they begin with.
        place (str): Name of the list.
        path (str): The image.
        notes (_Notes): Gets what is seen on the way.
    """
    for i, step in enumerate(steps):
        here = f'{place}[{i}] ({_name(step)})'
        transform = _built(step, here)
        if isinstance(transform, MultiBranch):
            for branch, inner in transform.branch_pipelines.items():
                _run(inner.transforms, copy.deepcopy(results),
                     f'{place}[{i}].{branch}', path, _Notes())
        before = _mask_shape(results)
        try:
            results = transform(results)
        except Exception as error:  # transforms raise what they like
            raise _failure(here, error, path) from error
        if results is None:
            return None
        if None not in (before, after := _mask_shape(results)) and (before
                                                                    != after):
            notes.resizer = notes.resizer or here
        if isinstance(results, dict) and 'img' in results:
            notes.images.append((here, _checksum(results['img'])))
    return results


def _built(step, here: str) -> BaseTransform:
    if not isinstance(step, dict):
        return step
    try:
        return TRANSFORMS.build(step)
    except Exception as error:
        if isinstance(error, KeyError) and TRANSFORMS.get(
                name := _name(step)) is None:
            raise _Trouble(here, 'there is no transform of this name',
                           f'{_other_name(name)}') from error
        raise _Trouble(here, f'cannot be built: {_text(error)}',
                       'Check its name and its arguments.') from error


def _other_name(name: str) -> str:
    """What to write instead of a name that no transform has."""
    if name in _RENAMED:
        return f'It is a name of MMSegmentation 0.x: {_RENAMED[name]}'
    close = difflib.get_close_matches(name, TRANSFORMS.module_dict, n=3)
    similar = f' (similar: {", ".join(close)})' if close else ''
    return (f'Check its name{similar}, or name the module that defines it in '
            'custom_imports.')


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


def _checksum(image) -> int:
    return zlib.crc32(np.ascontiguousarray(image).data)


def _images(inputs) -> list[torch.Tensor]:
    """The images of a sample: one, one of each branch, or several views."""
    if isinstance(inputs, dict):
        inputs = list(inputs.values())
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    return [image for image in inputs if isinstance(image, torch.Tensor)]


def _name(step) -> str:
    kind = step.get('type') if isinstance(step, dict) else type(step)
    return getattr(kind, '__name__', str(kind))


def is_named(step, name: str) -> bool:
    """Whether a step is the config of the transform of this name."""
    return isinstance(step, dict) and _name(step).rpartition('.')[2] == name


def _size(shape: tuple[int, int]) -> str:
    return f'{shape[1]} x {shape[0]}'
