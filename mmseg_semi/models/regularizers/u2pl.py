# Copyright (c) mmseg_semi authors.
"""U2PL: contrast with unreliable pseudo-labels (CVPR 2022)."""
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import all_sum, world_size
from ...functional import (RELIABLE, anchor_mean, class_counts, class_ranks,
                           class_sums, draw_candidates, draw_per_prototype,
                           keep_percent, labeled_negatives, nearest,
                           reliability, rows_at, softmax_entropy,
                           unreliable_negatives, upcast)
from ..decode_heads.representation_head import \
    RepresentationHead  # noqa: F401 (registers it)
from ..step import Pass, Step
from .negative_queues import NegativeQueues
from .term import Term, idle

POSITIVES = ('anchors', 'reliable')
AVERAGES = ('all', 'present')
_RANKS = 3, 20


class Pixels(NamedTuple):
    """What the teacher says of a view's pixels, at the features' stride.

    ``labels`` (B, h, w) long, the class of reliable pixels, else 255;
    ``anchors`` (B, h, w) long, likewise, and with enough probability;
    ``negative`` (B h w, C) bool, of which classes a pixel is a negative.
    """
    labels: Tensor
    anchors: Tensor
    negative: Tensor


class Classes(NamedTuple):
    """The classes of a step.

    ``total`` (C,) anchors of all GPUs, ``share`` (C,) of them this GPU's,
    ``present`` (C,) bool, has a reliable pixel, ``centres`` (C, D).
    """
    total: Tensor
    share: Tensor
    present: Tensor
    centres: Tensor


@MODELS.register_module()
class U2PL(Term):
    """Pull reliable pixels to their class, push unreliable ones away.

    Beside `SupervisedLoss` and `PixelConsistency`, which has Eq. 3 and 5 to 8
    (its defaults), this term adds L_c (Eq. 4): the student's representation
    of an anchor, a reliable pixel of class c, shall be closer to the centre
    of class c than to negatives of c: pixels whose class is unreliable but
    surely not c, from a queue of every class.

    All predictions and the representations of centres and negatives are the
    teacher's on the batch that the student learns from, in train mode. Class
    counts, centres and queues are those of all GPUs.

    Args:
        head (dict, optional): A :class:`RepresentationHead` config.
        num_anchors (int): M, per class and GPU, drawn without replacement.
            Defaults to 50; the code has 256.
        num_negatives (int): N, for each anchor, drawn with replacement.
            Defaults to 256; the code has 50.
        temperature (float): tau. Defaults to 0.5.
        start (float): 100 (1 - alpha_0), the percentage of pixels that are
            reliable at the first iteration. Defaults to 80. Give
            `PixelConsistency` the same.
        epoch_iters (int, optional): Move the percentage once per this many
            iterations, as paper and code do; None moves it smoothly.
        ranks (tuple[int, int], optional): r_l and r_h. A labelled pixel is a
            negative of other classes that are among its r_l most probable
            ones, an unreliable one of classes from rank r_l to r_h - 1.
            Defaults to None: (3, 20), with fewer than four classes
            (classes - 1, 20).
        threshold (float): delta_p; an anchor's class has more probability.
            Defaults to 0.3.
        capacity (tuple[int, int]): Negatives kept for class 0 and for every
            other class. Defaults to (50000, 30000).
        keys_per_image (int): New negatives per class and image at most,
            drawn at random; neither paper nor code has a limit, but what
            comes in at once would fill all queues. Defaults to 64.
        reliable (str): Of pseudo-labelled pixels, see
            :func:`mmseg_semi.functional.reliability`. Defaults to ``kept``.
        positive (str): The centre of a class is the mean over its
            ``anchors`` or over all its ``reliable`` pixels, those
            below ``threshold`` included (code). Defaults to ``anchors``.
        average (str): Divide the sum over classes by C (``all``, Eq. 4) or
            by the number of classes ``present`` with a reliable pixel, and
            then skip steps with only one (code). Defaults to ``all``.
        legacy (bool): Reproduce two indexing errors of the code: anchors and
            centres of the i-th class meet the queue of the i-th *present*
            class, and a pixel can be a negative only of the class that is
            its pseudo-label, never a labelled one. Defaults to False.
        per_gpu_scale (bool): Divide the loss by the number of GPUs, as the
            code does without meaning to. Defaults to False.
        loss_weight (float): lambda_c. Defaults to 0.1; the code has 1.
    """
    name = 'u2pl'
    unlabeled = True
    reads_views = True
    presets = dict(
        paper={},
        official=dict(
            num_anchors=256,
            num_negatives=50,
            reliable='lowest',
            positive='reliable',
            average='present',
            legacy=True,
            per_gpu_scale=True,
            loss_weight=1.))

    def __init__(self,
                 head: Optional[dict] = None,
                 num_anchors: int = 50,
                 num_negatives: int = 256,
                 temperature: float = .5,
                 start: float = 80.,
                 epoch_iters: Optional[int] = None,
                 ranks: Optional[Sequence[int]] = None,
                 threshold: float = .3,
                 capacity: Sequence[int] = (50_000, 30_000),
                 keys_per_image: int = 64,
                 reliable: str = 'kept',
                 positive: str = 'anchors',
                 average: str = 'all',
                 legacy: bool = False,
                 per_gpu_scale: bool = False,
                 loss_weight: float = .1,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        for option, value, known in (('reliable', reliable, RELIABLE),
                                     ('positive', positive, POSITIVES),
                                     ('average', average, AVERAGES)):
            if value not in known:
                raise ValueError(
                    f'U2PL: {option}={value!r} must be one of {known}.')
        self.num_anchors, self.num_negatives = num_anchors, num_negatives
        self.keys_per_image, self.temperature = keys_per_image, temperature
        self.start, self.epoch_iters = start, epoch_iters
        self.low, self.high = _checked_ranks(ranks, self.num_classes)
        self.threshold, self.loss_weight = threshold, loss_weight
        self.reliable, self.positive = reliable, positive
        self.average, self.legacy = average, legacy
        self.per_gpu_scale = per_gpu_scale
        self._check_numbers()
        self.head_cfg = self.sized_head(head or {}, 'RepresentationHead')
        self.queues = NegativeQueues(self.num_classes, capacity,
                                     self.head_cfg.get('channels', 256))
        self._pixels: List[Pixels] = []

    def _check_numbers(self) -> None:
        for option in ('num_anchors', 'num_negatives', 'keys_per_image',
                       'epoch_iters'):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f'U2PL: {option}={value} must be at least '
                                 '1.')
        ranges = dict(
            temperature=(self.temperature > 0, 'above 0'),
            start=(0 < self.start <= 100, 'a percentage in (0, 100]'),
            threshold=(0 <= self.threshold <= 1, 'in [0, 1]'),
            loss_weight=(self.loss_weight >= 0, 'at least 0'))
        for option, (fits, wanted) in ranges.items():
            if not fits:
                raise ValueError(f'U2PL: {option}={getattr(self, option)} '
                                 f'must be {wanted}.')

    def needs(self) -> Dict[str, str]:
        return dict(teacher='use MeanTeacher', mixed_pass='use MeanTeacher')

    def local_rules(self) -> List[str]:
        return [f'{self.name}: percentile of the entropy']

    def batch_rules(self) -> List[str]:
        return [f'{self.name}: centres of the classes']

    def features(self, role: str, step: Step) -> Iterable[str]:
        # The teacher's head gathers BatchNorm statistics from the start on,
        # if the framework has such a pass then.
        reads = role == 'statistics' or (role == 'learner' and step.semi)
        return (self.name, ) if reads else ()

    def passes(self, framework, step: Step) -> List[Pass]:
        return [framework.statistics_pass(step)] if step.semi else []

    def _views(self, step: Step) -> List[str]:
        return ['sup', *self.chosen_views(step)]

    def update_before(self, step: Step) -> None:
        """Look at the teacher's predictions and enqueue its negatives."""
        self._pixels = []
        if not step.semi:
            return
        self._pixels = [self._look(step, view) for view in self._views(step)]
        candidates = torch.cat([pixels.negative for pixels in self._pixels])
        images = sum(len(pixels.labels) for pixels in self._pixels)
        index, valid = draw_candidates(candidates,
                                       self.keys_per_image * images,
                                       step.generator)
        keys = upcast(rows_at(self._teacher_maps(step), index.flatten()))
        classes = torch.arange(self.num_classes, device=index.device)
        labels = classes[:, None].expand_as(index).masked_fill(~valid, -1)
        self.queues.push(keys, labels.flatten())
        self._log(step, candidates)

    def _look(self, step: Step, view: str) -> Pixels:
        """Reliable pixels, anchors and negatives of one view (Sec. 3.3)."""
        out = step.outs['statistics', view]
        size = out.features[self.name].shape[-2:]
        scores = out.logits if out.logits.shape[-2:] == size else out.at(size)
        probability = scores.softmax(dim=1)
        ranks = class_ranks(scores.movedim(1, -1).flatten(0, 2))
        if view == 'sup':
            labels = nearest(step.views[view].labels, size)
            negative = labeled_negatives(ranks, labels.flatten(), self.low)
            if self.legacy:
                negative = torch.zeros_like(negative)
        else:
            labels, negative = self._look_at_unlabeled(step, view, size, ranks)
        own = labels.masked_fill(labels == 255, 0)[:, None]
        sure = probability.gather(1, own)[:, 0] > self.threshold
        return Pixels(labels, labels.masked_fill(~sure, 255), negative)

    def _look_at_unlabeled(self, step: Step, view: str, size: Tuple[int, int],
                           ranks: Tensor) -> Tuple[Tensor, Tensor]:
        maps = step.labels[self.net, view]
        known = maps['valid'] & (maps['cls'] != 255)
        entropy = softmax_entropy(step.outs['statistics',
                                            view].at(known.shape[-2:]))
        percent = keep_percent(step.iteration, step.total_iters, self.start,
                               self.epoch_iters)
        reliable, unreliable = reliability(entropy, known, percent,
                                           self.reliable)
        negative = unreliable_negatives(ranks,
                                        nearest(unreliable, size).flatten(),
                                        self.low, self.high)
        if self.legacy:
            classes = nearest(maps['cls'], size).flatten()
            negative &= classes[:, None] == torch.arange(
                self.num_classes, device=classes.device)
        labels = maps['cls'].masked_fill(~reliable, 255)
        return nearest(labels, size), negative

    def _teacher_maps(self, step: Step) -> List[Tensor]:
        return [
            step.outs['statistics', view].features[self.name]
            for view in self._views(step)
        ]

    def _log(self, step: Step, candidates: Tensor) -> None:
        step.log['contrast/queue_fill'] = self.queues.fill().mean()
        step.log['contrast/negative_classes'] = candidates.sum(
            1).float().mean()

    def loss(self, step: Step) -> Dict[str, Tensor]:
        if not step.semi:
            return dict(loss_contrast=idle(self.head))
        pixels, self._pixels = self._pixels, []
        labels = torch.cat([part.anchors.flatten() for part in pixels])
        drawn, used = draw_per_prototype(labels, self.num_classes,
                                         self.num_anchors, step.generator)
        maps = [
            step.learner(self.net, view).features[self.name]
            for view in self._views(step)
        ]
        anchors = rows_at(maps, drawn.flatten()).view(*drawn.shape, -1)
        classes = self._classes(step, pixels)
        parts = (anchors, used, classes.total, classes.share, classes.centres)
        if self.legacy:
            # The queue of the i-th present class meets the class of id i.
            place = (classes.present.cumsum(0) - 1).clamp_min(0)
            parts = (part.index_select(0, place) for part in parts)
        anchors, used, total, share, centres = parts
        losses = self.queues.contrast(anchors, centres, self.num_negatives,
                                      self.temperature, step.generator)
        active = (total > 0) & classes.present & (self.queues.count() > 0)
        number = torch.full_like(used[0], self.num_classes)
        if self.average == 'present':
            number = classes.present.sum()
            active &= number > 1
        step.log['contrast/active_classes'] = active.sum().float()
        slots = torch.arange(self.num_anchors, device=used.device)
        loss = anchor_mean(losses, slots < used[:, None],
                           share.to(losses.dtype), active, number)
        if self.per_gpu_scale:
            loss = loss / world_size()
        return dict(loss_contrast=self.loss_weight * loss)

    @torch.no_grad()
    def _classes(self, step: Step, pixels: List[Pixels]) -> Classes:
        """What the pixels of all GPUs are together."""
        wanted = 'anchors' if self.positive == 'anchors' else 'labels'
        sums = sum(
            class_sums(features, getattr(part, wanted), self.num_classes)
            for features, part in zip(self._teacher_maps(step), pixels))
        counts = torch.stack([
            sum(
                class_counts(getattr(part, which), self.num_classes)
                for part in pixels) for which in ('anchors', 'labels')
        ])
        total = all_sum(counts)
        centred = total[0] if wanted == 'anchors' else total[1]
        return Classes(
            total=total[0],
            share=counts[0].double() / total[0].clamp_min(1),
            present=total[1] > 0,
            centres=all_sum(sums) / centred.clamp_min(1)[:, None])


def _checked_ranks(ranks: Optional[Sequence[int]],
                   num_classes: int) -> Tuple[int, int]:
    if ranks is None:
        ranks = min(_RANKS[0], num_classes - 1), _RANKS[1]
    if len(ranks) != 2 or not 0 < ranks[0] < min(ranks[1], num_classes):
        raise ValueError(
            f'U2PL: ranks={tuple(ranks)} must be (r_l, r_h) with 0 < r_l < '
            f'r_h and r_l below the number of classes, {num_classes}: else '
            'no unlabelled pixel is a negative (two classes: r_l = 1).')
    return tuple(ranks)
