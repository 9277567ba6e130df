# Copyright (c) mmseg_semi authors.
"""PPS: prototypical pseudo segmentation (Chen and Lian, ACM MM 2022)."""
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (activation_logits, cross_entropy, draw_partners,
                           draw_per_prototype, draw_prototypes,
                           prototype_contrast, prototypes_per_class)
from ..decode_heads.query_head import QueryHead
from ..step import LabelMaps, Out, Step
from .term import Term, idle

UNKNOWN = -1  # no prototype: 255 may be one


class Pool(NamedTuple):
    """Projected pixels of both networks, see :func:`prototype_contrast`."""
    vectors: Tensor
    counts: Tensor
    partner: Tensor
    exists: Tensor


@MODELS.register_module()
class PPS(Term):
    """Two networks teach each other which prototype a pixel belongs to.

    The prototypes are the queries of a :class:`QueryHead` without class head,
    n of every class. With the supervised loss L_s of
    :class:`SupervisedLoss`, the loss of Eq. 4 is

        L = L_s + 0.5 L_contra + 1.5 L_sp + 0.01 L_r

    summed over both networks. L_sp (Eq. 6): cross-entropy over all
    prototypes against the index the other network gives, which is why both
    share the queries and what decodes them (``QueryHead.shared_parts``), and
    the projector. L_contra (Eq. 7): pixels of one
    prototype attract, those of others repel, in a pool of both networks. L_r
    (Eq. 10-11): one random prototype of every class must classify alone.

    Args:
        head (dict, optional): :class:`ProjectionHead` config; its
            ``in_channels``, the width of the pixel embedding, may be left
            out. Both networks share it.
        prototype_weight (float): Of L_sp. Defaults to 1.5.
        contrast_weight (float): Of L_contra; 0 leaves the projector out
            (Table 4). Defaults to 0.5.
        activation_weight (float): Of L_r; 0 leaves it out (Table 4).
            Defaults to 0.01.
        sp_resolution (str): L_sp on the grid of the ``feature`` map, or of
            the ``image``, which needs N_p channels there; the labels
            are those of the feature grid, enlarged.
        sp_labeled (bool): L_sp on labelled images too. Defaults to
            False.
        temperature (float): tau of Eq. 7. Defaults to 0.1.
        samples (int): Pixels of a prototype in the pool, half of each
            network. Defaults to 32.
        negatives (int, optional): r random negatives of an anchor; None, the
            default, takes all of the pool.
        contrast_labeled (bool): Labelled images enter the pool too, a pixel
            with the best prototype of its class. Defaults to False.
        both_sides (bool): Gradient also through positives and negatives.
            Defaults to True.
        activation_labels (str): L_r on unlabelled images learns the class
            the ``other`` network gives, its ``own``, or ``none``: labelled
            images alone. Defaults to ``other``.
        begin (int): First iteration of L_contra and L_r. Defaults
            to 0.
    """
    name = 'pps'
    unlabeled = True
    queries = False
    replaces = ('pixel_consistency', )
    view = 'unsup_student'

    def __init__(self,
                 head: Optional[dict] = None,
                 prototype_weight: float = 1.5,
                 contrast_weight: float = .5,
                 activation_weight: float = .01,
                 sp_resolution: str = 'feature',
                 sp_labeled: bool = False,
                 temperature: float = .1,
                 samples: int = 32,
                 negatives: Optional[int] = None,
                 contrast_labeled: bool = False,
                 both_sides: bool = True,
                 activation_labels: str = 'other',
                 begin: int = 0,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        weights = (prototype_weight, contrast_weight, activation_weight)
        if min(weights) < 0:
            raise ValueError(f'PPS: loss weights {weights} must not be '
                             'negative.')
        if samples < 2 or samples % 2:
            raise ValueError(f'PPS: samples={samples} per prototype, half of '
                             'each network, must be even and at least 2.')
        if temperature <= 0:
            raise ValueError(f'PPS: temperature={temperature} must be '
                             'positive.')
        if negatives is not None and negatives < 1:
            raise ValueError(f'PPS: negatives={negatives} must be at least 1, '
                             'or None for all.')
        for key, value, known in (('sp_resolution', sp_resolution, ('feature',
                                                                    'image')),
                                  ('activation_labels', activation_labels,
                                   ('other', 'own', 'none'))):
            if value not in known:
                raise ValueError(f'PPS: {key}={value!r} is unknown: use one '
                                 f'of {known}.')
        if contrast_weight:
            self.head_cfg = self.sized_head(head or {}, 'ProjectionHead')
        self.prototype_weight, self.begin = prototype_weight, begin
        self.contrast_weight = contrast_weight
        self.activation_weight = activation_weight
        self.sp_resolution, self.sp_labeled = sp_resolution, sp_labeled
        self.temperature, self.samples = temperature, samples // 2
        self.negatives, self.contrast_labeled = negatives, contrast_labeled
        self.both_sides, self.activation_labels = both_sides, activation_labels

    def check(self, framework) -> None:
        nets = [framework.net(name) for name in framework.learners]
        if len(nets) != 2:
            raise TypeError(
                'PPS: two networks label for each other; '
                f'{type(framework).__name__} trains {len(nets)}: use '
                'CrossPseudo.')
        head = nets[0].decode_head
        if not isinstance(head, QueryHead) or head.has_classes:
            raise TypeError(
                'PPS: the prototypes are the queries of a MaskQueryHead with '
                'class_head=False, whose pixel_decoder may be any stock head, '
                'or of another head with queries and without classes; got '
                f'{type(head).__name__}.')
        prototypes_per_class(head.num_queries, self.num_classes)
        needed = [f'decode_head.{part}' for part in head.shared_parts()]
        needed += [f'semi_heads.{name}' for name in self.heads()]
        # Without these in common, prototypes could not be compared.
        missing = [name for name in needed if name not in framework.shared]
        framework.shared = (*framework.shared, *missing)

    def heads(self) -> Dict[str, dict]:
        return {self.name: self.head_cfg} if self.contrast_weight else {}

    def local_rules(self) -> List[str]:
        return [f'{self.name}: pixels that are contrasted'
                ] if self.contrast_weight else []

    def features(self, role: str, step: Step) -> Iterable[str]:
        wanted = role == 'learner' and self.heads() and self._contrasts(step)
        return (self.name, ) if wanted else ()

    def label_maps(self) -> Iterable[str]:
        return ('proto', )

    def _contrasts(self, step: Step) -> bool:
        return step.semi and step.iteration >= self.begin

    def loss(self, step: Step) -> Dict[str, Tensor]:
        losses = {}
        if step.semi and self.prototype_weight:
            losses['loss_sp'] = self.prototype_weight * self._cross(step)
        if self.contrast_weight:
            losses['loss_contra'] = self.contrast_weight * (
                self._contrast(step)
                if self._contrasts(step) else idle(self.head))
        if self.activation_weight and step.iteration >= self.begin:
            losses['loss_r'] = self.activation_weight * self._activation(step)
        return losses

    def _other(self, step: Step, net: str) -> str:
        """The network beside this one."""
        return next(name for name in self._nets(step) if name != net)

    def _made_by(self, step: Step, net: str) -> LabelMaps:
        """The labels that a network made of the unlabelled images.

        A step keeps labels by who learns them, which is the other one.
        """
        return step.labels[self._other(step, net), self.view]

    def _nets(self, step: Step) -> List[str]:
        return [net for net, view in step.learned if view == 'sup']

    def _once(self, step: Step, what: str, make: Callable):
        """What both networks' terms use in this step, made once."""
        key = f'{self.name}.{what}'
        if key not in step.shared:
            step.shared[key] = make()
        return step.shared[key]

    # ---------------------------------------------------- L_sp, Eq. 6

    def _cross(self, step: Step) -> Tensor:
        """Cross-entropy over prototypes against the other network's."""
        labels = self._made_by(step, self._other(step, self.net))
        parts = [self._scores(step, self.view, labels)]
        self._log_agreement(step, labels)
        if self.sp_labeled:
            view = step.views['sup']
            other = step.learner(self._other(step, self.net), 'sup')
            made = dict(proto=other.prototype_map(view.size), valid=view.valid)
            parts.append(self._scores(step, 'sup', made))
        scores, target = zip(*parts)
        return cross_entropy(
            torch.cat(scores), torch.cat(target), ignore_index=UNKNOWN)

    def _scores(self, step: Step, view: str,
                labels: dict) -> Tuple[Tensor, Tensor]:
        """Prototype scores of a view and their targets, on one grid."""
        out = step.learner(self.net, view)
        scores = out.queries.mask_logits()
        target = known_prototypes(labels)
        if self.sp_resolution == 'image':
            return resized(out, scores, target.shape[-2:]), target
        return scores, at_grid(target, scores.shape[-2:])

    def _log_agreement(self, step: Step, labels: dict) -> None:
        if self.net != self._nets(step)[0]:
            return
        own = self._made_by(step, self.net)['proto']
        agreed = (own == labels['proto']) & labels['valid']
        step.log['proto/networks_agree'] = agreed.sum() / labels['valid'].sum(
        ).clamp_min(1)

    # ------------------------------------------------ L_contra, Eq. 7

    def _contrast(self, step: Step) -> Tensor:
        """This network's anchors against the pool of both."""
        pool = self._once(step, 'pool', lambda: self._pool(step))
        number = self._nets(step).index(self.net)
        return prototype_contrast(
            pool.vectors,
            pool.counts,
            pool.partner,
            pool.exists,
            number,
            temperature=self.temperature,
            negatives=self.negatives,
            generator=step.generator,
            both_sides=self.both_sides)

    def _pool(self, step: Step) -> Pool:
        """Draw pixels of both networks and project them, all at once."""
        drawn = [self._drawn(step, net) for net in self._nets(step)]
        rows, counts = (torch.stack(part) for part in zip(*drawn))
        used = torch.arange(
            self.samples, device=rows.device) < counts[..., None]
        vectors = self.head.projections(rows.flatten(0, 2),
                                        used.flatten()).view(*used.shape, -1)
        step.log['proto/used_ratio'] = (counts > 0).float().mean()
        return Pool(vectors, counts,
                    *draw_partners(counts, self.samples, step.generator))

    def _drawn(self, step: Step, net: str) -> Tuple[Tensor, Tensor]:
        """Pixels (P, S, D) of every prototype by a network's own labels."""
        out = step.learner(net, self.view)
        features = out.features[self.name]
        labels = known_prototypes(self._made_by(step, net))
        parts = [(features, at_grid(labels, features.shape[-2:]))]
        if self.contrast_labeled:
            out = step.learner(net, 'sup')
            parts.append((out.features[self.name], self._labelled(step, out)))
        rows = torch.cat(
            [f.permute(0, 2, 3, 1).flatten(0, 2) for f, _ in parts])
        labels = torch.cat([target.flatten() for _, target in parts])
        number = out.queries.mask_logits().shape[1]
        pixels, counts = draw_per_prototype(labels, number, self.samples,
                                            step.generator)
        rows = rows.index_select(0, pixels.flatten())
        return rows.view(*pixels.shape, -1), counts

    @torch.no_grad()
    def _labelled(self, step: Step, out: Out) -> Tensor:
        """(B, h, w): the best prototype of the true class of every pixel."""
        scores = out.queries.mask_logits()
        size = scores.shape[-2:]
        cls = at_grid(step.views['sup'].labels, size)
        known = (cls >= 0) & (cls < self.num_classes)
        cls = cls.masked_fill(~known, 0)
        grouped = scores.unflatten(1, (self.num_classes, -1))
        best = grouped.argmax(dim=2).gather(1, cls[:, None])[:, 0]
        return (cls * grouped.shape[2] + best).masked_fill(~known, UNKNOWN)

    # ---------------------------------------------- L_r, Eq. 10-11

    def _activation(self, step: Step) -> Tensor:
        """One prototype per class alone, on labelled and mixed images."""
        out = step.learner(self.net, 'sup')
        total = self._alone(step, out, step.views['sup'].labels)
        if not step.semi or self.activation_labels == 'none':
            return total
        maker = self.net
        if self.activation_labels == 'other':
            maker = self._other(step, self.net)
        labels = self._made_by(step, maker)
        target = labels['cls'].masked_fill(~labels['valid'], 255)
        return total + self._alone(step, step.learner(self.net, self.view),
                                   target)

    def _alone(self, step: Step, out: Out, target: Tensor) -> Tensor:
        scores = out.queries.mask_logits()
        per_class = prototypes_per_class(scores.shape[1], self.num_classes)
        drawn = self._once(step, 'drawn',
                           lambda: self._draw_one_each(step, per_class))
        logits = activation_logits(scores, drawn)
        return cross_entropy(resized(out, logits, target.shape[-2:]), target)

    def _draw_one_each(self, step: Step, per_class: int) -> Tensor:
        """The same for all images: one draw per iteration."""
        generator = torch.Generator(step.generator.device)
        generator.manual_seed(step.common.getrandbits(63))
        return draw_prototypes(self.num_classes, per_class, generator)


def known_prototypes(labels: dict) -> Tensor:
    """(B, H, W) prototype labels, padding being unknown."""
    return labels['proto'].masked_fill(~labels['valid'], UNKNOWN)


def at_grid(labels: Tensor, size: Tuple[int, int]) -> Tensor:
    """Labels (B, H, W) at the first pixel of every point of a grid (h, w).

    Undoes the enlargement of :meth:`Out.prototype_map` exactly.
    """
    rows, cols = (-(-torch.arange(small, device=labels.device) * full // small)
                  for small, full in zip(size, labels.shape[-2:]))
    return labels[:, rows[:, None], cols]


def resized(out: Out, logits: Tensor, size: Tuple[int, int]) -> Tensor:
    """Logits at another size, as the network resizes its own."""
    return resize(
        logits, size=size, mode='bilinear', align_corners=out.align_corners)
