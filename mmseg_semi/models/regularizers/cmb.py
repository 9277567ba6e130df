# Copyright (c) mmseg_semi authors.
"""CMB: contrast with a class-wise memory bank (arXiv 2104.13415)."""
import math
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import all_sum, gather_rows, world_size
from ...functional import (best_rows, class_cosine, class_directions,
                           contrastive_loss, grid_features,
                           memory_rows_per_image, quality_filter)
from ..banks import ClassBank
from ..step import Pass, Step
from .cmb_options import (check_choices, check_loss_weight, check_memory,
                          check_phases)
from .term import Term, idle


@MODELS.register_module()
class CMB(Term):
    """Pull every feature towards the features of its class in memory.

    Memory holds projections by the teacher of labelled features it predicts
    right and confidently (Sec. 3.4); the student's predictions, labelled and
    pseudo-labelled, are contrasted with it (Sec. 3.3, Eq. 8-11). By
    iteration ``it``:

    - ``it < memory_start``: nothing.
    - ``memory_start <= it < contrast_start``: memory fills.
    - from then on: memory is updated, then the loss compares with it.

    The pseudo-label, entropy and balancing parts of CMB are terms of their
    own (:class:`PixelConsistency`, :class:`EntropyMinimization`,
    :class:`ClassBalance`).

    Args:
        head (dict): :class:`ContrastHead` config: ``in_channels``, ``tap``,
            ``channels``.
        num_labeled (int, optional): Labelled images of the target domain;
            needed unless ``rows_per_image`` is a number.
        rows_per_image (str | float): New vectors per class, iteration and
            labelled image of the target domain, see
            :func:`mmseg_semi.functional.memory_rows_per_image`; all vectors
            of a batch compete, those of all ranks together (1.12 row 14).
            Defaults to ``city``.
        capacity (int): psi, vectors per class (Table 7), at least 2.
            Defaults to 256.
        memory_start (int): First iteration that fills memory; the code's
            t > 1000. Defaults to 1001.
        contrast_start (int): First iteration with the loss; the code's
            t > 2000. Defaults to 2001.
        quality_filter (bool): Only features predicted right with more than
            ``threshold`` enter memory. False admits every labelled feature
            (Table 8). Defaults to True.
        threshold (float): phi. Defaults to 0.95.
        memory_network (str): Whose features and projections fill memory,
            ``teacher``, or ``student`` (Table 8 without "teacher features").
        memory_dropout (bool): Dropout is active in the teacher's pass, as in
            the code on DeepLabV3+. Defaults to True.
        class_attention (bool): Train the selectors and weigh by them. False
            (Table 8): no selectors, equal weights, ``memory_select`` is
            ``random``. Defaults to True.
        memory_attention (bool): Weigh vectors in memory too (Eq. 8). In the
            code these weights are 1 (row 2). Defaults to True.
        memory_select (str): When more vectors pass than may enter, take
            those of ``highest`` score, the ``lowest`` as the code does (row
            1), or a ``random`` choice. Defaults to ``highest``.
        rank_with (str, optional): Rank by the teacher's ``memory`` selector,
            trained on projections, or by its ``feature`` selector, trained on
            predictions (code, row 3). Defaults to ``memory`` if that one is
            trained (``memory_attention``).
        normalize_memory (bool): The memory selector sees L2-normalised
            vectors (code, row 4). Defaults to False.
        feat_stride (int, optional): Take features at this stride of the
            image where the network's own is finer (row 16).
        loss_weight (tuple[float, float]): lambda_contr of labelled and of
            unlabelled features (row 15), at least 0; 0 switches one off.
            Defaults to (0.1, 0.1).
    """
    name = 'cmb'
    unlabeled = True
    presets = dict(
        paper={},
        official=dict(
            memory_attention=False,
            memory_select='lowest',
            rank_with='feature',
            normalize_memory=True))

    def __init__(self,
                 head: dict,
                 num_labeled: Optional[int] = None,
                 rows_per_image: Union[str, float] = 'city',
                 capacity: int = 256,
                 memory_start: int = 1001,
                 contrast_start: int = 2001,
                 quality_filter: bool = True,
                 threshold: float = .95,
                 memory_network: str = 'teacher',
                 memory_dropout: bool = True,
                 class_attention: bool = True,
                 memory_attention: bool = True,
                 memory_select: str = 'highest',
                 rank_with: Optional[str] = None,
                 normalize_memory: bool = False,
                 feat_stride: Optional[int] = None,
                 loss_weight: Sequence[float] = (.1, .1),
                 **kwargs) -> None:
        super().__init__(**kwargs)
        memory_attention = memory_attention and class_attention
        if rank_with is None:
            rank_with = 'memory' if memory_attention else 'feature'
        check_choices(
            memory_network=memory_network,
            memory_select=memory_select,
            rank_with=rank_with)
        check_phases(memory_start, contrast_start)
        check_memory(capacity, threshold, feat_stride)
        check_loss_weight(loss_weight)
        if rank_with == 'memory' and class_attention and not memory_attention:
            raise ValueError(
                'CMB: rank_with="memory" ranks by selectors that '
                'memory_attention=False does not train: use "feature".')
        self.head_cfg = dict(
            head,
            type='ContrastHead',
            selectors=class_attention,
            memory_selectors=memory_attention)
        self.bank = ClassBank(self.num_classes, capacity,
                              head.get('channels', 256))
        self.rows_per_image = memory_rows_per_image(rows_per_image, capacity,
                                                    num_labeled,
                                                    self.num_classes)
        self.memory_start = memory_start
        self.contrast_start = contrast_start
        self.quality_filter, self.threshold = quality_filter, threshold
        self.memory_network = memory_network
        self.memory_dropout = memory_dropout
        self.class_attention = class_attention
        self.memory_attention = memory_attention
        self.memory_select = memory_select if class_attention else 'random'
        self.rank_with, self.normalize_memory = rank_with, normalize_memory
        self.feat_stride = feat_stride
        self.loss_weight = tuple(loss_weight)

    def heads(self) -> Dict[str, dict]:
        return {self.name: self.head_cfg}

    def bind(self, net) -> None:
        # A list hides the head from the term's own parameters and state.
        self._head = [net.semi_heads[self.name]]

    def check(self, framework) -> None:
        if (self.memory_network == 'teacher'
                and 'teacher' not in framework.networks):
            raise TypeError(
                f'CMB: {type(framework).__name__} has no teacher to fill '
                'memory: use memory_network="student".')

    @property
    def head(self):
        return self._head[0]

    def stages(self) -> Dict[str, int]:
        return dict(
            before=0, memory=self.memory_start, contrast=self.contrast_start)

    def features(self, role: str, step: Step) -> Iterable[str]:
        learner = self.contrast_start
        if self.memory_network == 'student':
            learner = self.memory_start
        start = dict(learner=learner, bank=self.memory_start)
        wanted = role in start and step.iteration >= start[role]
        return (self.name, ) if wanted else ()

    def passes(self, framework, step: Step) -> List[Pass]:
        """The teacher in train mode on the augmented labelled images."""
        if self.memory_network == 'student' or not self._fills(step):
            return []
        return [
            Pass(
                'bank',
                'teacher', ('sup', ),
                role='bank',
                dropout=self.memory_dropout)
        ]

    def batch_rules(self) -> List[str]:
        return [f'{self.name}: competition of features for memory']

    # ------------------------------------------------------------- memory

    def _fills(self, step: Step) -> bool:
        """Whether anything can enter memory in this step.

        Nothing can if all labelled images are of the source domain. A rank
        does not know that of the others, and all have to take part in what
        follows, so this is looked at in a single process only.
        """
        if step.iteration < self.memory_start:
            return False
        return world_size() > 1 or step.views['sup'].num_target > 0

    def update_before(self, step: Step) -> None:
        """Add the best vectors of all ranks to memory (Sec. 3.4)."""
        if step.iteration >= self.memory_start:
            self.bank.allocate()
        if not self._fills(step):
            return
        if self.memory_network == 'student':
            out = step.learner(self.net, 'sup')
        else:
            out = step.outs['bank', 'sup']
        view = step.views['sup']
        labels = view.labels
        if view.target is not None:  # memory is the target domain's
            labels = labels.masked_fill(~view.target, 255)
        features, labels, pixels = self._at_stride(out.features[self.name],
                                                   labels)
        probabilities = grid_features(out.logits, *pixels, view.size,
                                      out.align_corners).softmax(dim=-1)
        probabilities = probabilities.flatten(0, 1)
        known = labels != 255
        if self.quality_filter:
            passed = quality_filter(probabilities, labels, self.threshold)
            step.log['bank/passed_ratio'] = passed.sum() / known.sum(
            ).clamp_min(1)
            labels = labels.masked_fill(~passed, 255)
        # The BatchNorm of g would turn a single row into a constant.
        enough = (labels != 255).sum() > 1
        labels = labels.masked_fill(~enough, 255)
        head = out.heads[self.name]
        vectors = head.projections(features, labels != 255)
        scores = self._ranking(head, vectors, labels, step.generator)
        self._push(step, labels, scores, vectors, probabilities.amax(dim=1))

    def _push(self, step: Step, labels: Tensor, scores: Tensor,
              vectors: Tensor, confidence: Tensor) -> None:
        """Store the rows of highest score of all ranks, the best last.

        Every rank offers as many as could enter if all its images were of
        the target domain: shapes must agree, and how many are is known of
        this rank's images only.
        """
        view = step.views['sup']
        images = len(view.image) * world_size()
        offered = max(1, math.ceil(self.rows_per_image * images))
        offered = min(offered, self.bank.capacity)
        rows = labels, scores, vectors, confidence
        rows, valid = self._best(rows, offered)
        if world_size() > 1:
            rows = [gather_rows(r, equal=True) for r in rows]
            rows, valid = self._best(rows, offered)
        targets = all_sum(
            torch.full((),
                       view.num_target,
                       dtype=torch.double,
                       device=labels.device))
        number = step.whole_share(self.rows_per_image * targets)
        better = torch.arange(valid.shape[1], device=valid.device).flip(0)
        enters = (valid & (better < number)).flatten()
        labels, _, vectors, confidence = rows
        self.bank.push(vectors, labels.masked_fill(~enters, -1), confidence)

    def _best(self, rows: Sequence[Tensor],
              number: int) -> Tuple[List[Tensor], Tensor]:
        """Of every class the rows of highest score, the best last.

        Args:
            rows (Sequence[Tensor]): Labels (N,), scores (N,) and more.
            number (int): K.

        Returns:
            tuple: The chosen of each, (C K, ...), label -1 where a class has
            fewer, and (C, K) bool where it has not.
        """
        labels, scores = rows[:2]
        index, valid = best_rows(scores, labels, self.num_classes, number)
        chosen = [row[index.flatten()] for row in rows]
        chosen[0] = chosen[0].masked_fill(~valid.flatten(), -1)
        return chosen, valid

    def _at_stride(
            self, features: Tensor,
            labels: Tensor) -> Tuple[Tensor, Tensor, Tuple[Tensor, Tensor]]:
        """Feature rows with the label of the nearest pixel.

        Args:
            features (Tensor): (B, D, h, w).
            labels (Tensor): (B, H, W), long.

        Returns:
            tuple: features (B h w, D), labels (B h w,), and the rows and
            columns (h w,) of the pixels, on the CPU.
        """
        size = list(features.shape[-2:])
        if self.feat_stride is not None:
            wanted = [
                -(-side // self.feat_stride) for side in labels.shape[1:]
            ]
            wanted = [min(pair) for pair in zip(size, wanted)]
            if wanted != size:
                features = F.interpolate(features, size=wanted)  # nearest
                size = wanted
        rows, cols = (torch.arange(small) * full // small
                      for small, full in zip(size, labels.shape[1:]))
        pixels = torch.meshgrid(rows, cols, indexing='ij')
        rows, cols = (
            axis.to(labels.device, non_blocking=True) for axis in (rows, cols))
        labels = labels[:, rows[:, None], cols].flatten()
        features = features.permute(0, 2, 3, 1).flatten(0, 2)
        return features, labels, tuple(axis.flatten() for axis in pixels)

    def _ranking(self, head, vectors: Tensor, labels: Tensor,
                 generator: torch.Generator) -> Tensor:
        """What memory prefers, (N,): more is better."""
        if self.memory_select == 'random':
            return torch.rand(
                len(labels), device=labels.device, generator=generator)
        if self.rank_with == 'memory':
            scores = self._memory_scores(head, vectors, labels)
        else:
            scores = head.selectors(vectors, labels)
        return scores if self.memory_select == 'highest' else -scores

    def _memory_scores(self, head, vectors: Tensor, labels: Tensor) -> Tensor:
        if self.normalize_memory:
            vectors = F.normalize(vectors, dim=-1)
        return head.memory_selectors(vectors, labels)

    # --------------------------------------------------------------- loss

    def loss(self, step: Step) -> Dict[str, Tensor]:
        views = dict(
            loss_contrast=['sup'],
            loss_contrast_unsup=sorted(view for net, view in step.learned
                                       if net == self.net and view != 'sup'))
        active = {
            name: weight
            for name, weight in zip(views, self.loss_weight)
            if weight and views[name]
        }
        if step.iteration < self.contrast_start or not active:
            return dict(loss_contrast=idle(self.head))
        directions, present = self._directions()
        return {
            name:
            weight * self._contrast(step, views[name], directions, present)
            for name, weight in active.items()
        }

    def _directions(self) -> Tuple[Tensor, Tensor]:
        """What memory holds of each class: (C, D), and (C,) bool whether it
        is enough. The memory selectors get their gradient through it."""
        bank = self.bank
        slots = torch.arange(bank.capacity, device=bank.count.device)
        stored = slots < bank.count[:, None]
        attention = None
        if self.memory_attention:
            attention = self._memory_scores(self.head, bank.features,
                                            stored).sigmoid()
        directions = class_directions(bank.features, stored, attention)
        return directions, bank.count > 1

    def _contrast(self, step: Step, views: Sequence[str], directions: Tensor,
                  present: Tensor) -> Tensor:
        """The loss of several views' features, taken as one set."""
        parts = []
        for view in views:
            if view == 'sup':
                labels = step.views[view].labels
            else:
                labels = step.labels[self.net, view]['cls']
            features = step.learner(self.net, view).features[self.name]
            parts.append(self._at_stride(features, labels)[:2])
        features, labels = (torch.cat(part) for part in zip(*parts))
        keep = labels != 255
        projected = self.head.projections(features, keep)
        predicted = self.head.predictions(projected, keep)
        # The cosine before the selectors: their backward pass then comes
        # first and has freed its memory when the features' gradient is made.
        cosine = class_cosine(predicted, labels, directions)
        attention = None
        if self.class_attention:
            attention = self.head.selectors(predicted, labels).sigmoid()
        return contrastive_loss(cosine, labels, present, attention)
