# Copyright (c) mmseg_semi authors.
"""BRPG: boundary-refined prototype generation (arXiv 2307.10097)."""
from typing import Dict, Iterable, Optional, Sequence, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import world_size
from ...functional import (class_confidence_sums, confidence_schedule,
                           cross_entropy, draw_positions, features_at,
                           grid_positions, moved_thresholds, prototype_loss)
from ...functional.clustering import SCATTERS
from ..step import Step
from .feature_sampling import (Candidates, FeatureBanks, candidates,
                               confidence_groups, mask_padding, random_group)
from .prototype_generation import generate_prototypes
from .prototype_term import PrototypeTerm
from .term import IterationSums, idle
from .training_plan import TrainingPlan


@MODELS.register_module()
class BRPG(PrototypeTerm):
    """Prototypes from high- and low-confidence features, then contrast.

    Algorithm 1 by iteration ``it``, with ``window = (T_S1, T_S2)``:

    - ``it < T_S1``: nothing; the feature head gets no gradient.
    - ``T_S1 <= it < T_S2``: features enter the banks (Eq. 8-9).
    - ``it = T_S2``: the banks are clustered once (Eq. 10-14) and freed.
    - from then on: prototype loss (Eq. 15-20), and the prototypes follow
      their features (Eq. 22).

    Args:
        head (dict): The feature head, a :class:`PrototypeHead` config;
            ``num_prototypes`` is set here. ``projector=None`` with
            ``tap='pre_cls'`` or ``'decoder'`` uses the classification
            head's or the decoder's features instead (Table 9, II and III).
        window (tuple[int, int], optional): Sampling stage in iterations, see
            :func:`mmseg_semi.functional.sampling_window`. None is that of
            VOC, as long as one of 80 epochs and right after burn-in, see
            :meth:`.TrainingPlan.brpg_window`.
        split (bool): Separate banks for high and low confidence (CPG).
            False draws at random into one bank: the plain prototype loss of
            Table 6, III. Defaults to True.
        num_prototypes (Sequence[int]): n_0 per group: (high, low), or (all,)
            without split. Defaults to (2, 2).
        apo (dict, optional): ``extra`` prototypes for the ``ratio`` of
            classes most scattered by ``score`` (``cosine``, ``l2``,
            ``l2_norm``), for each bank alone; None switches APO off.
        capacity (int): V, rows per class and bank. Defaults to 30000.
        samples_per_image (int): ``sample_num`` of the banks. Defaults to
            5000.
        threshold (float): eta_s in [0, 1]. Defaults to 0.8.
        class_threshold (tuple[float, float], optional): Bounds of a
            threshold per class for labelled pixels, an average (momentum
            0.999) of the class's confidence (Table 8, "EMA").
        cells (int): Grid of labelled samples, (cells + 1)**2 per image.
            Defaults to 32.
        draws_per_image (int): M_u; pooled over the batch.
            Defaults to 1000.
        confidence (tuple[float, float]): eta_0 and eta_e of Eq. 19.
        schedule_begin (int, optional): Where eta_t starts; None is T_S2
            (Eq. 19), the official code has epoch 5.
        momentum (float): alpha of Eq. 22. Defaults to 0.99.
        loss_weight (float): lambda_pro. Defaults to 1.
        per_gpu_scale (bool): Divide the loss by the number of GPUs as the
            official code does without meaning to.
        sync_prototypes (bool): Reduce the prototype update over ranks. The
            official code lets every rank drift.
        pretrain_head (bool): Train the feature head on labelled pixels with
            a linear classifier until T_S1 (Table 9, I). Defaults to False.
        kmeans (str): ``faiss`` or ``minibatch`` (official).
        seed (int): Of the clustering. Defaults to 0.
    """
    name = 'brpg'
    unlabeled = True
    presets = dict(
        paper={},
        official=dict(
            per_gpu_scale=True, sync_prototypes=False, kmeans='minibatch'))

    def __init__(self,
                 head: dict,
                 window: Optional[Sequence[int]] = None,
                 split: bool = True,
                 num_prototypes: Sequence[int] = (2, 2),
                 apo: Optional[dict] = dict(
                     extra=1, ratio=.05, score='cosine'),
                 capacity: int = 30_000,
                 samples_per_image: int = 5000,
                 threshold: float = .8,
                 class_threshold: Optional[Sequence[float]] = None,
                 cells: int = 32,
                 draws_per_image: int = 1000,
                 confidence: Sequence[float] = (.8, .95),
                 schedule_begin: Optional[int] = None,
                 per_gpu_scale: bool = False,
                 pretrain_head: bool = False,
                 **kwargs) -> None:
        groups = ('high', 'low') if split else ('all', )
        if len(num_prototypes) != len(groups):
            raise ValueError(
                f'num_prototypes={tuple(num_prototypes)} must give one number '
                f'for each of the banks {groups}.')
        if window is not None and not 0 <= window[0] < window[1]:
            raise ValueError(f'window={tuple(window)} must be (first, end) '
                             'iterations with 0 <= first < end.')
        if apo is not None and (set(apo) != {'extra', 'ratio', 'score'}
                                or apo['score'] not in SCATTERS):
            raise ValueError(
                f'apo={apo} must give extra, ratio and a score that is one '
                f'of {SCATTERS}, or be None.')
        extra = apo['extra'] if apo else 0
        super().__init__(
            head=dict(head, linear=pretrain_head),
            size=sum(num_prototypes) + extra * len(groups),
            **kwargs)
        self.window = window
        self.split = split
        self.base = dict(zip(groups, num_prototypes))
        self.apo = apo
        self.banks = FeatureBanks(groups, self.num_classes,
                                  self.head_cfg['channels'], capacity,
                                  samples_per_image)
        self.threshold, self.class_threshold = threshold, class_threshold
        self.register_state(
            'class_confidence',
            torch.full((self.num_classes, ), threshold),
            over_ranks='sum')
        self._confidence = IterationSums()
        self.cells, self.draws_per_image = cells, draws_per_image
        self.confidence = tuple(confidence)
        self.schedule_begin = schedule_begin
        self.per_gpu_scale = per_gpu_scale
        self.pretrain_head = pretrain_head

    def plan(self, training: TrainingPlan) -> None:
        self.settle(window=training.brpg_window())
        total, end = training.total_iters, self.option('window')[1]
        if self.schedule_begin is not None and (end < total <=
                                                self.schedule_begin):
            raise ValueError(
                f'BRPG: schedule_begin={self.schedule_begin} is no iteration '
                f'of this training of {total}.')

    def stages(self) -> Dict[str, int]:
        begin, end = self.option('window')
        return dict(before=0, sampling=begin, prototypes=end)

    def features(self, role: str, step: Step) -> Iterable[str]:
        roles = {
            'before': ('learner', ) if self.pretrain_head else (),
            'sampling': ('learner', 'labeler'),
            'prototypes': ('learner', ),
        }[self.stage(step)]
        # The statistics pass is where the teacher's head gets its BatchNorm
        # statistics, from the start on as in the official code.
        return (self.name, ) if role in ('statistics', *roles) else ()

    def on_labels(self, step: Step) -> None:
        if self.class_threshold is None or self.stage(step) != 'sampling':
            return
        labels = step.views['sup'].labels
        logits = step.learner(self.net, 'sup').at(labels.shape[-2:])
        total = self._confidence.add(
            step, *class_confidence_sums(logits.softmax(dim=1), labels))
        if total is not None:
            sums, counts = (
                self.reduced('class_confidence', part) for part in total)
            self.class_confidence.copy_(
                moved_thresholds(self.class_confidence, sums, counts))

    def update_before(self, step: Step) -> None:
        stage = self.stage(step)
        if stage == 'sampling':
            self._fill(step)
        elif stage == 'prototypes':
            self.once('prototypes', lambda: self._begin(step))

    def _begin(self, step: Step) -> None:
        """Make prototypes of what the banks hold; there must be some."""
        if self.banks.allocated:
            self._cluster()
        begin, end = self.option('window')
        self.require_prototypes(
            f'there is no prototype at iteration {step.iteration}, because '
            f'no feature was sampled in iterations [{begin}, {end}). Widen '
            'or move `window`, or lower `threshold`; when resuming, start '
            'from a checkpoint that had the same `window`.')

    def _fill(self, step: Step) -> None:
        """Enqueue this step's features (Eq. 8-9)."""
        if not self.banks.allocated:
            self.banks.allocate()
        out = step.learner(self.net, 'sup')
        labeled = candidates(out.logits, out.features[self.name],
                             step.views['sup'].labels)
        unlabeled = self._unlabeled_candidates(step) or Candidates(
            *(part[:0] for part in labeled))
        if self.split:
            eta = self.class_confidence
            if self.class_threshold is not None:
                eta = eta.clamp(*self.class_threshold)
            masks = confidence_groups(labeled, unlabeled, eta, self.threshold)
        else:
            masks = random_group(labeled, unlabeled, self.threshold)
        self.banks.fill(labeled, unlabeled, masks, step.generator)

    def _unlabeled_candidates(self, step: Step) -> Optional[Candidates]:
        """Pixels of the images that were labelled for the strong views."""
        pools = {}
        for view in self.chosen_views(step):
            source = step.sources[self.net, view]
            if source in pools:  # one weak view for several strong ones
                continue
            own = step.embedder(self.net, view)
            pool = candidates(
                step.labeler(self.net, view).logits, own.features[self.name])
            pools[source] = mask_padding(pool, step.views[source[1]].valid)
        if len(pools) < 2:
            return next(iter(pools.values()), None)
        return Candidates(*map(torch.cat, zip(*pools.values())))

    def _cluster(self) -> None:
        """Turn the banks into prototypes, once, and free them."""
        prototypes, valid = generate_prototypes(
            self.banks.banks,
            self.base,
            self.size,
            apo=self.apo,
            backend=self.kmeans,
            seed=self.seed)
        self.head.set_prototypes(prototypes, valid)
        self.banks.release()

    def loss(self, step: Step) -> Dict[str, Tensor]:
        self.samples = None
        stage = self.stage(step)
        if stage != 'prototypes':
            if self.pretrain_head and stage == 'before':
                return dict(loss_head=self._pretrain_loss(step))
            return dict(loss_proto=idle(self.head))
        drawn = [self._grid(step)]
        views = self.chosen_views(step)
        if views:
            drawn.append(self._unlabeled(step, views))
        loss = self.loss_weight * sum(  # a mean for each kind of image
            prototype_loss(logits, target)
            for logits, (_, target) in zip(self.scores(drawn), drawn))
        if self.per_gpu_scale:
            loss = loss / world_size()
        if self.pretrain_head:
            loss = loss + idle(self.head.conv_seg)
        return dict(loss_proto=loss)

    def _grid(self, step: Step) -> Tuple[Tensor, Tensor]:
        """Grid samples (N, D) with their ground truth (N,) (Eq. 17)."""
        labels = step.views['sup'].labels
        rows, cols = grid_positions(*labels.shape[-2:], cells=self.cells)
        return self.at_grid(step, 'sup', labels, rows, cols)

    def _pretrain_loss(self, step: Step) -> Tensor:
        features, target = self._grid(step)
        logits = self.head.conv_seg(features[:, :, None, None]).flatten(1)
        return cross_entropy(logits, target)

    def _unlabeled(self, step: Step,
                   views: Sequence[str]) -> Tuple[Tensor, Tensor]:
        """Confident pixels of the mixed images of all views (Eq. 18-19)."""
        begin = self.schedule_begin
        if begin is None:
            begin = self.option('window')[1]
        eta = confidence_schedule(step.iteration, begin, step.total_iters,
                                  *self.confidence)
        parts = [self._confident(step, view, eta) for view in views]
        features, target, drawn = map(torch.cat, zip(*parts))
        step.log['proto/drawn_ratio'] = drawn.float().mean()
        return features, target

    def _confident(self, step: Step, view: str,
                   eta: float) -> Tuple[Tensor, Tensor, Tensor]:
        """Features (N, D) and labels (N,) at drawn pixels of a view, and
        (N,) bool: not in want of confident ones."""
        labels = step.labels[self.net, view]
        out = step.learner(self.net, view)
        trusted = labels['valid'] & (labels['conf'] >= eta)
        draws = min(self.draws_per_image * len(trusted), trusted.numel())
        image, rows, cols, drawn = draw_positions(trusted, draws,
                                                  step.generator)
        features = features_at(out.features[self.name], image, rows, cols,
                               tuple(trusted.shape[-2:]), out.align_corners)
        target = labels['cls'][image, rows, cols].masked_fill(~drawn, 255)
        return features, target, drawn
