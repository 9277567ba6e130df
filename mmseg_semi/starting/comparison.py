# Copyright (c) mmseg_semi authors.
"""Whether the unlabelled images helped."""
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from ..evaluation import (PerImageAreas, evaluation_protocol, gate_lines,
                          paired_difference, resampled_miou)
from ..evaluation.bootstrap import Difference
from .health import collapse, likely_reasons, wrong_labels
from .scoring import Track, image_areas, validation_meta
from .trained import Trained, read_log, read_record

_FEW_IMAGES = 20
# What a method and its twin should share: name for people -> setting.
_ALIKE = {
    'seed': 'randomness.seed',
    'length': 'train_cfg.max_iters',
    'labelled list': 'train_dataloader.dataset.labeled.ann_file',
    'held-out images': 'train_dataloader.dataset.held_out',
    'model': 'model.segmentor'
}


@dataclass(frozen=True)
class Score:
    """How one model did on the validation images.

    Attributes:
        name (str): For people.
        checkpoint (str): Its weights.
        iteration (int, optional): At which they were saved.
        miou (float): In percent.
        iou (tuple[float | None, ...]): Of every class, in percent; None
            without a pixel in labels and predictions.
    """
    name: str
    checkpoint: str
    iteration: int | None
    miou: float
    iou: tuple[float | None, ...]


@dataclass(frozen=True)
class Comparison:
    """A method and its supervised twin on the same images.

    Attributes:
        method (Score): With unlabelled images.
        supervised (Score): Without.
        classes (tuple[str, ...]): Names of the classes.
        images (int): Validation images.
        difference (Difference): Method minus supervised in points of mIoU,
            with its 95 % bootstrap interval over the images.
        helped (bool, optional): Whether the unlabelled images did; None if
            the interval holds 0.
        verdict (str): The same in a sentence.
        reasons (list[str]): Likely reasons where they did not help.
        notes (list[str]): What else differs between the trainings, and how
            far the interval can be trusted.
        gate (list[str]): How often pseudo-labels of the method were right,
            in two lines; empty if it was not measured.
    """
    method: Score
    supervised: Score
    classes: tuple[str, ...]
    images: int
    difference: Difference
    helped: bool | None
    verdict: str
    reasons: list[str]
    notes: list[str]
    gate: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Everything for JSON."""
        return dict(asdict(self), difference=self.difference._asdict())

    def describe(self) -> str:
        """A table of classes, and what it means."""
        pairs = [
            *zip(self.classes, self.supervised.iou, self.method.iou),
            ('mIoU', self.supervised.miou, self.method.miou)
        ]
        head = 'IoU in percent', self.supervised.name, self.method.name
        width = max(len(row[0]) for row in [*pairs, head])
        columns = [max(len(name), 8) for name in head[1:]]
        lines = [
            '  '.join([f'{head[0]:<{width}}'] +
                      [f'{n:>{w}}' for n, w in zip(head[1:], columns)])
        ]
        lines += [
            '  '.join([f'{name:<{width}}'] +
                      [f'{_number(v):>{w}}' for v, w in zip(values, columns)])
            for name, *values in pairs
        ]
        lines += ['', self.verdict, *(f'- {text}' for text in self.reasons)]
        lines += self.gate
        lines += [f'note: {text}' for text in self.notes]
        return '\n'.join(lines)


def compare(
        method: Trained,
        supervised: Trained,
        track: Track = lambda items, text: items,
        areas: tuple[PerImageAreas, PerImageAreas] | None = None
) -> Comparison:
    """Judge a method and its supervised twin on the same images.

    Args:
        method (Trained): Trained with unlabelled images.
        supervised (Trained): Trained without.
        track (Track): Shows progress.
        areas (tuple, optional): Of both on their images, where known. By
            default :func:`.image_areas`.

    Returns:
        Comparison: Scores, difference and what it means.

    Raises:
        ValueError: The two have other classes, validation images or
            evaluations.
    """
    _check_comparable(method, supervised)
    gate = read_record(method.folder).get('gate')
    if areas is None:
        areas = image_areas(method, track), image_areas(supervised, track)
    if not np.array_equal(areas[0].ids, areas[1].ids):
        raise ValueError(
            f'{method.name} and {supervised.name} are validated on different '
            'images, so they cannot be compared. Give both the same '
            'val_dataloader.')
    difference = paired_difference(areas[:1], areas[1:])
    scores = [
        _score(trained, found)
        for trained, found in zip((method, supervised), areas)
    ]
    helped, verdict = _verdict(difference)
    classes, reasons = _classes(method), []
    if not helped:
        reasons = likely_reasons(
            read_log(method.folder), *(score.miou for score in scores))
        reasons += collapse(classes, *(score.iou for score in scores))
        reasons += wrong_labels(gate)
    return Comparison(*scores, classes, len(areas[0].ids), difference, helped,
                      verdict, reasons,
                      _notes(method, supervised, len(areas[0].ids)),
                      gate_lines(gate) if gate else [])


def _verdict(found: Difference) -> tuple[bool | None, str]:
    text = (f'{found.mean:+.2f} points of mIoU, 95 % interval '
            f'[{found.low:+.2f}, {found.high:+.2f}].')
    if found.low > 0:
        return True, f'The unlabelled images helped: {text}'
    if found.high < 0:
        return False, f'The unlabelled images did harm: {text}'
    return None, ('The unlabelled images did not help, as far as these '
                  f'validation images can tell: {text}')


def _score(trained: Trained, areas: PerImageAreas) -> Score:
    with np.errstate(invalid='ignore'):
        iou = 100 * areas.intersect.sum(0) / areas.union.sum(0)
    miou = resampled_miou(areas, np.ones((1, len(areas.ids))))[0]
    return Score(
        trained.name, trained.checkpoint, trained.iteration,
        round(float(miou), 2),
        tuple(None if np.isnan(v) else round(float(v), 2) for v in iou))


def _check_comparable(*both: Trained) -> None:
    for name, read in (('classes', _classes),
                       ('evaluation', lambda t: evaluation_protocol(t.cfg))):
        one, other = map(read, both)
        if one != other:
            raise ValueError(
                f'{both[0].name} and {both[1].name} differ in their {name} '
                f'({one}, {other}), so their scores cannot be compared.')


def _classes(trained: Trained) -> tuple[str, ...]:
    return tuple(validation_meta(trained)['classes'])


def _notes(method: Trained, supervised: Trained, images: int) -> list[str]:
    """What makes the comparison less than fair or sure."""
    notes = []
    for name, (one, other) in unlike(method.cfg, supervised.cfg).items():
        shown = '' if name == 'model' else f' ({one}, {other})'
        notes.append(f'The two trainings differ in their {name}{shown}: '
                     'the difference is not that of the unlabelled '
                     'images alone.')
    if has_unlabelled(supervised.cfg):
        notes.append(f'{supervised.name} was trained with unlabelled images, '
                     'too.')
    if images < _FEW_IMAGES:
        notes.append(f'{images} validation images are few: the interval is '
                     'rough.')
    notes.append('The interval tells what other images would say of these two '
                 'models; another seed may differ by more.')
    return notes


def unlike(one: Mapping, other: Mapping) -> dict[str, tuple]:
    """What a method and its twin should share and two configs do not.

    Args:
        one (Mapping): A config.
        other (Mapping): Another one.

    Returns:
        dict[str, tuple]: Name for people -> the two values.
    """
    values = {
        name: (_value(one, key), _value(other, key))
        for name, key in _ALIKE.items()
    }
    return {name: both for name, both in values.items() if both[0] != both[1]}


def has_unlabelled(cfg: Mapping) -> bool:
    """Whether a config trains with unlabelled images."""
    return bool(_value(cfg, 'train_dataloader.dataset.unlabeled'))


def _value(cfg, key: str):
    for part in key.split('.'):
        cfg = (cfg or {}).get(part)
    return cfg


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'
