# Copyright (c) mmseg_semi authors.
"""The typed record of one training step.

A framework declares network passes (:class:`Pass`), runs them into
:class:`Out` records and writes label maps; the loss terms read the finished
:class:`Step` and never call a network themselves.
"""
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import (Callable, Dict, FrozenSet, Iterable, List, Mapping,
                    Optional, Sequence, Tuple)

import torch
from mmseg.models.utils import resize
from torch import Tensor, nn

from ..functional import max_along, upcast
from ..functional.precision import no_autocast

LabelMaps = Dict[str, Tensor]
"""What travels with the pixels of a view: ``cls`` (B, H, W) long class ids
with 255 for "no label", ``conf`` (B, H, W) in [0, 1], ``valid`` (B, H, W)
bool (not padding) and whatever else a term asked for (``entropy``, a
prototype index map, a weight; of a mean teacher also ``prob`` (B, C, H, W),
its probabilities). Mixing and warping move them together."""


@dataclass(frozen=True)
class Pass:
    """One network forward, declared before it is run.

    Passes that agree in everything but ``name`` and ``features`` are one
    forward (see :func:`merge_passes`).

    Args:
        name (str): Key of the outputs in :attr:`Step.outs`.
        net (str): The network: ``student``, ``teacher``, ...
        views (tuple[str]): Views concatenated into ONE forward, so that they
            share BatchNorm statistics.
        role (str): ``learner`` (receives gradient from the losses),
            ``labeler`` (its output becomes the pseudo-label) or
            ``statistics``.
        train (bool): Train mode (batch statistics, dropout) or eval mode.
        grad (bool): Whether a graph is recorded.
        dropout (bool): False keeps dropout off in a train-mode pass.
        channel_dropout (float): Probability of dropping whole channels of
            the encoder's output (UniMatch's feature perturbation).
        clean_too (bool): With ``channel_dropout``, the decoder reads the
            encoder's output as it is and with dropped channels, in one
            batch. The outputs for the latter go by the name of the view and
            ``_dropped``.
        features (frozenset[str]): Logical taps and term-owned heads whose
            output is recorded, see :mod:`mmseg_semi.models.taps`.
        aliases (tuple[str]): More keys of the outputs, of merged passes.
    """
    name: str
    net: str
    views: Tuple[str, ...]
    role: str = 'statistics'
    train: bool = True
    grad: bool = False
    dropout: bool = True
    channel_dropout: float = 0.
    clean_too: bool = False
    features: FrozenSet[str] = frozenset()
    aliases: Tuple[str, ...] = ()

    @property
    def declaration(self) -> tuple:
        return (self.net, self.views, self.train, self.grad, self.dropout,
                self.channel_dropout, self.clean_too)

    @property
    def outputs(self) -> Tuple[str, ...]:
        """Names of the outputs, in the order of the decoder's batch."""
        if not self.clean_too:
            return self.views
        return (*self.views, *(f'{view}_dropped' for view in self.views))


def merge_passes(passes: Iterable[Pass]) -> List[Pass]:
    """Unite passes of equal declaration, in order of first appearance.

    The first one's name and role stay; taps are united, and every name finds
    the outputs.
    """
    merged: Dict[tuple, Pass] = {}
    for item in passes:
        first = merged.get(item.declaration)
        if first is not None:
            item = replace(
                first,
                features=first.features | item.features,
                aliases=(*first.aliases, item.name))
        merged[item.declaration] = item
    return list(merged.values())


@dataclass
class View:
    """The images of one branch.

    Args:
        image (Tensor): (B, 3, H, W), normalised.
        samples (list[SegDataSample]): As the pipeline packed them.
        valid (Tensor): (B, H, W) bool, False on padding.
        labels (Tensor, optional): (B, H, W) long ground truth, 255 ignored.
        target (Tensor, optional): (B, H, W) bool, False on the pixels of a
            labelled image of the source domain (its sample says
            ``domain='source'``); None where all is target.
    """
    image: Tensor
    samples: list
    valid: Tensor
    labels: Optional[Tensor] = None
    target: Optional[Tensor] = None

    @property
    def size(self) -> Tuple[int, int]:
        return tuple(self.image.shape[-2:])

    @property
    def num_target(self) -> int:
        """Images that are not of the source domain."""
        source = sum(s.get('domain') == 'source' for s in self.samples)
        return len(self.image) - source


def moved_view(view: View, maps: Dict[str, Tensor]) -> View:
    """A view whose pixels were moved: its maps, taken out of ``maps``.

    Args:
        view (View): Before.
        maps (dict[str, Tensor]): ``image``, the label maps and, if the view
            has one, ``target``; the label maps alone are left.
    """
    return replace(
        view,
        image=maps.pop('image'),
        valid=maps['valid'],
        labels=None if view.labels is None else maps['cls'],
        target=maps.pop('target', None))


@dataclass
class QueryOut:
    """What a mask-classification head says about a view.

    Args:
        class_logits (list[Tensor]): (B, Q, C + 1) per decoder layer, the
            last layer last and "no object" the last class. Empty for a head
            without class head, whose query k * n + j is prototype j of
            class k.
        mask_embed (list[Tensor]): (B, Q, D) per decoder layer.
        pixel_embed (Tensor): (B, D, h, w).
    """
    class_logits: List[Tensor]
    mask_embed: List[Tensor]
    pixel_embed: Tensor
    _masks: Dict[int, Tensor] = field(default_factory=dict, repr=False)

    def mask_logits(self, layer: int = -1) -> Tensor:
        """(B, Q, h, w) fp32: pixel times mask embedding; computed once."""
        layer %= len(self.mask_embed)
        if layer not in self._masks:
            queries, pixels = self.mask_embed[layer], self.pixel_embed
            grad = queries.requires_grad or pixels.requires_grad
            with no_autocast(pixels.device), \
                    torch.set_grad_enabled(grad):
                self._masks[layer] = torch.einsum('bqd,bdhw->bqhw',
                                                  upcast(queries),
                                                  upcast(pixels))
        return self._masks[layer]

    def split(self, sizes: Sequence[int]) -> List['QueryOut']:
        """Cut the batch dimension into the views' shares."""
        classes = [c.split(sizes) for c in self.class_logits]
        embeds = [m.split(sizes) for m in self.mask_embed]
        masks = {n: m.split(sizes) for n, m in self._masks.items()}
        return [
            QueryOut([c[i] for c in classes], [m[i] for m in embeds], pixels, {
                n: m[i]
                for n, m in masks.items()
            }) for i, pixels in enumerate(self.pixel_embed.split(sizes))
        ]


@dataclass
class Out:
    """One view's share of a pass.

    Args:
        logits (Tensor): (B, C, h, w) fp32 dense scores at native stride.
        features (dict[str, Tensor]): (B, D, h', w') by requested name.
        aux (list[Tensor]): Logits of auxiliary heads, (B, C, h, w) each.
        align_corners (bool): How the network resizes its logits.
        heads (Mapping[str, nn.Module]): Term-owned heads of the network that
            made the pass: how a term reaches the teacher's.
        queries (QueryOut, optional): Of a mask-classification head, whose
            ``logits`` then are its semantic inference.
        scorer (Callable, optional): Logits (B, C, H, W) at a given size,
            of a head that does not resize them.
        unnormalized (bool): The logits are logarithms of scores that do not
            sum to 1: confidence is the largest score, not its share.
        raw (Heads, optional): What the heads returned, for their own losses.
        rest (list[Tensor]): Outputs that only those losses read, of the
            whole pass.
        threshold (float, optional): Of a head with one sigmoid channel:
            the probability above which it says class 1.
    """
    logits: Tensor
    features: Dict[str, Tensor]
    aux: List[Tensor]
    align_corners: bool
    heads: Mapping[str, nn.Module] = field(default_factory=dict, repr=False)
    queries: Optional[QueryOut] = field(default=None, repr=False)
    scorer: Optional[Callable] = field(default=None, repr=False)
    unnormalized: bool = False
    raw: object = field(default=None, repr=False)
    rest: List[Tensor] = field(default_factory=list, repr=False)
    threshold: Optional[float] = None
    _full: Dict[tuple, Tensor] = field(default_factory=dict, repr=False)

    def scored_by(self, head: str) -> 'Out':
        """The same pass with the scores of a term's prototype head."""
        module, features = self.heads[head], self.features[head]
        scored = replace(
            self,
            logits=module.classify(features),
            aux=[],
            scorer=None,
            unnormalized=False,
            threshold=None,
            _full={})
        if module.full_resolution:
            scored.scorer = partial(module.classify_at, features)
        return scored

    def at(self, size: Sequence[int]) -> Tensor:
        """Logits resized bilinearly to ``size``; computed once per size."""
        size = tuple(size)
        if size not in self._full:
            # Whoever asks first, without gradient perhaps: a loss may ask
            # for the same map later.
            with torch.set_grad_enabled(self.logits.requires_grad):
                self._full[size] = self.scorer(size) if self.scorer else \
                    resize(
                        self.logits,
                        size=size,
                        mode='bilinear',
                        align_corners=self.align_corners)
        return self._full[size]

    @torch.no_grad()
    def prototype_map(self, size: Sequence[int]) -> Tensor:
        """The best prototype (query) of every pixel, (B, H, W) long.

        Decided on the grid of the masks and enlarged to ``size`` without
        interpolation, so pixel ceil(i * H / h) holds that of grid row i.

        Raises:
            TypeError: The network has no queries.
        """
        if self.queries is None:
            raise TypeError('Prototype labels need a head with queries, whose '
                            'queries are the prototypes; this network has a '
                            'dense head.')
        _, best = max_along(self.queries.mask_logits(), dim=1)
        for dim, (new, old) in enumerate(zip(size, best.shape[-2:]), start=1):
            rows = torch.arange(new, device=best.device) * old // new
            best = best.index_select(dim, rows)
        return best


@dataclass
class Step:
    """Everything the terms may read in one training step.

    Where gradients are accumulated, a step is one of several batches that
    make an iteration together.

    Args:
        iteration (int): Iterations finished before this one.
        total_iters (int): Length of the training in iterations.
        generator (torch.Generator): Device generator seeded from (seed,
            iteration, rank).
        random (random.Random): Host generator with the same seed, for
            decisions that must not read the device.
        common (Random): Likewise, but the same in all processes and all
            batches of an iteration.
        semi (bool): Unlabelled images take part (False during burn-in and
            in supervised-only training).
        views (dict[str, View]): By branch name; mixing and augmentation on
            the device replace a view.
        originals (dict[str, View]): The views as the pipeline made them.
        outs (dict): (pass name, view name) -> :class:`Out`.
        labels (dict): (learning net, view name) -> :data:`LabelMaps`; at
            the labelling view itself they are neither mixed nor warped.
        learned (dict): (net, view name) -> name of the learner pass.
        sources (dict): (learning net, view name) -> (pass name, view name)
            whose output became the pseudo-label.
        embedders (dict): (learning net, view name) -> (pass name, view name)
            of the unmixed images whose features compare with the learning
            network's, where that is not the pass that labels.
        class_weights (Tensor, optional): (C,) fp32 weights of the classes
            in the cross-entropies; None weighs all alike.
        shared (dict): What the learners' copies of a term have in common in
            this step, by a key of the term: made by the first that needs it.
        log (dict[str, Tensor]): Health scalars, logged but not optimised.
        part (int): Batches of this iteration done before this one.
        accumulate (int): Batches of an iteration.
    """
    iteration: int
    total_iters: int
    generator: torch.Generator
    random: Random
    semi: bool
    views: Dict[str, View]
    originals: Dict[str, View] = field(default_factory=dict)
    outs: Dict[Tuple[str, str], Out] = field(default_factory=dict)
    labels: Dict[Tuple[str, str], LabelMaps] = field(default_factory=dict)
    learned: Dict[Tuple[str, str], str] = field(default_factory=dict)
    sources: Dict[Tuple[str, str], Tuple[str,
                                         str]] = field(default_factory=dict)
    embedders: Dict[Tuple[str, str], Tuple[str,
                                           str]] = field(default_factory=dict)
    common: Random = field(default_factory=partial(Random, 0))
    class_weights: Optional[Tensor] = None
    shared: Dict[str, object] = field(default_factory=dict)
    log: Dict[str, Tensor] = field(default_factory=dict)
    part: int = 0
    accumulate: int = 1

    def whole_share(self, amount: Tensor) -> Tensor:
        """Whole number of things that this batch has a share in.

        Args:
            amount (Tensor): 0-dim, the share, the same in every batch of an
                iteration.

        Returns:
            Tensor: 0-dim. Over the batches of an iteration they sum to
            floor(accumulate * amount), but to at least 1.
        """
        before, after = ((amount * number).floor()
                         for number in (self.part, self.part + 1))
        if self.part == self.accumulate - 1:
            after = after.clamp_min(1)
        return after - before

    def learner(self, net: str, view: str) -> Out:
        """Output of the pass that carries ``net``'s gradient on ``view``."""
        return self.outs[self.learned[net, view], view]

    def learned_views(self, net: str) -> List[str]:
        """The views ``net`` learns from with a pseudo-label, in order."""
        return [
            view for owner, view in self.labels
            if owner == net and (net, view) in self.learned
        ]

    def labeler(self, net: str, view: str) -> Out:
        """Output whose argmax became ``net``'s pseudo-label on ``view``."""
        return self.outs[self.sources[net, view]]

    def embedder(self, net: str, view: str) -> Out:
        """Output of ``net``, or of its average, on the unmixed images.

        Its features and those ``net`` learns with live in one space; the
        labeler's do not if it is another network (CPS).
        """
        key = (net, view)
        return self.outs[self.embedders.get(key, self.sources[key])]
