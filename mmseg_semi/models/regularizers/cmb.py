# Copyright (c) mmseg_semi authors.
"""CMB: contrast with a class-wise memory bank (arXiv 2104.13415)."""
import math
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import all_sum, world_size
from ...functional import (class_cosine, class_directions, contrastive_loss,
                           grid_features, memory_rows_per_image,
                           quality_filter)
from ..banks import ClassBank
from ..step import Pass, Step
from .cmb_options import (check_choices, check_loss_weight, check_memory,
                          check_phases, contrast_head)
from .cmb_rows import (IGNORED, Rows, at_least_two, best_of_all_ranks,
                       feature_rows, target_labels)
from .term import Term, idle
from .training_plan import TrainingPlan


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
        head (dict, optional): :class:`ContrastHead` config: ``tap``,
            ``channels``.
        num_labeled (int, optional): Labelled images of the target domain,
            which ``rows_per_image`` may need. None counts those of the data
            set.
        rows_per_image (str | float): New vectors per class, iteration and
            labelled image of the target domain, see
            :func:`mmseg_semi.functional.memory_rows_per_image`; all vectors
            of a batch compete, those of all ranks together.
            Defaults to ``city``.
        capacity (int): psi, vectors per class (Table 7), at least 2.
            Defaults to 256.
        memory_start (int, optional): First iteration that fills memory.
            None is 1001, the code's t > 1000, but in proportion in a
            training of less than 80,000 iterations.
        contrast_start (int, optional): First iteration with the loss. None
            is 2001 likewise, the code's t > 2000.
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
            code these weights are 1. Defaults to True.
        memory_select (str): When more vectors pass than may enter, take
            those of ``highest`` score, the ``lowest`` as the code does, or a
            ``random`` choice. Defaults to ``highest``.
        rank_with (str, optional): Rank by the teacher's ``memory`` selector,
            trained on projections, or by its ``feature`` selector, trained on
            predictions (code). Defaults to ``memory`` if that one is
            trained (``memory_attention``).
        normalize_memory (bool): The memory selector sees L2-normalised
            vectors (code). Defaults to False.
        feat_stride (int, optional): Take features at this stride of the
            image where the network's own is finer.
        loss_weight (tuple[float, float]): lambda_contr of labelled and of
            unlabelled features, at least 0; 0 switches one off.
            Defaults to (0.1, 0.1).
    """
    name = 'cmb'
    unlabeled = True
    reads_views = True
    presets = dict(
        paper={},
        official=dict(
            memory_attention=False,
            memory_select='lowest',
            rank_with='feature',
            normalize_memory=True))

    def __init__(self,
                 head: Optional[dict] = None,
                 num_labeled: Optional[int] = None,
                 rows_per_image: Union[str, float] = 'city',
                 capacity: int = 256,
                 memory_start: Optional[int] = None,
                 contrast_start: Optional[int] = None,
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
        memory_rows_per_image(rows_per_image, capacity,
                              1 if num_labeled is None else num_labeled,
                              self.num_classes)
        self.head_cfg = self.sized_head(
            contrast_head(head, class_attention, memory_attention),
            'ContrastHead')
        self.bank = ClassBank(self.num_classes, capacity,
                              self.head_cfg.get('channels', 256))
        self.rows_per_image, self.num_labeled = rows_per_image, num_labeled
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

    def needs(self) -> Dict[str, str]:
        if self.memory_network == 'student':
            return {}
        return dict(teacher='use memory_network="student"')

    def plan(self, training: TrainingPlan) -> None:
        self.settle(
            memory_start=training.cmb_iteration(1001),
            contrast_start=training.cmb_iteration(2001),
            num_labeled=training.labeled_images)
        check_phases(
            self.option('memory_start'), self.option('contrast_start'))
        self._rows_per_image()  # shall fail now if images are not known

    def stages(self) -> Dict[str, int]:
        return dict(
            before=0,
            memory=self.option('memory_start'),
            contrast=self.option('contrast_start'))

    def features(self, role: str, step: Step) -> Iterable[str]:
        first = dict(learner='contrast', bank='memory')
        if self.memory_network == 'student':
            first['learner'] = 'memory'
        wanted = role in first and (step.iteration
                                    >= self.stages()[first[role]])
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
        if step.iteration < self.option('memory_start'):
            return False
        return world_size() > 1 or step.views['sup'].num_target > 0

    def update_before(self, step: Step) -> None:
        """Add the best vectors of all ranks to memory (Sec. 3.4)."""
        if step.iteration >= self.option('memory_start'):
            self.bank.allocate()
        if not self._fills(step):
            return
        rows = self._candidates(step)
        rows, valid = best_of_all_ranks(rows, self.num_classes,
                                        self._offered(step))
        better = torch.arange(valid.shape[1], device=valid.device).flip(0)
        enters = (valid & (better < self._admitted(step))).flatten()
        self.bank.push(rows.vectors, rows.labels.masked_fill(~enters, -1),
                       rows.confidence)

    def _candidates(self, step: Step) -> Rows:
        """This rank's features of the target domain that may enter."""
        view = step.views['sup']
        if self.memory_network == 'student':
            out = step.learner(self.net, 'sup')
        else:
            out = step.outs['bank', 'sup']
        features, labels, pixels = feature_rows(out.features[self.name],
                                                target_labels(view),
                                                self.feat_stride)
        probabilities = grid_features(out.logits, *pixels, view.size,
                                      out.align_corners).softmax(dim=-1)
        probabilities = probabilities.flatten(0, 1)
        if self.quality_filter:
            labels = self._passed(step, labels, probabilities)
        labels = at_least_two(labels)
        head = out.heads[self.name]
        vectors = head.projections(features, labels != IGNORED)
        scores = self._ranking(head, vectors, labels, step.generator)
        return Rows(labels, scores, vectors, probabilities.amax(dim=1))

    def _passed(self, step: Step, labels: Tensor,
                probabilities: Tensor) -> Tensor:
        """Labels (N,) of what is predicted right and confidently."""
        passed = quality_filter(probabilities, labels, self.threshold)
        known = (labels != IGNORED).sum().clamp_min(1)
        step.log['bank/passed_ratio'] = passed.sum() / known
        return labels.masked_fill(~passed, IGNORED)

    def _offered(self, step: Step) -> int:
        """Rows of a class that every rank offers.

        As many as could enter if all images were of the target domain: the
        ranks must agree, and know the domains of their own images only.
        """
        images = len(step.views['sup'].image) * world_size()
        offered = max(1, math.ceil(self._rows_per_image() * images))
        return min(offered, self.bank.capacity)

    def _admitted(self, step: Step) -> Tensor:
        """Rows of a class that enter: a share of every target image of all
        ranks, 0-dim."""
        view = step.views['sup']
        targets = all_sum(
            torch.full((),
                       view.num_target,
                       dtype=torch.double,
                       device=view.labels.device))
        return step.whole_share(self._rows_per_image() * targets)

    def _rows_per_image(self) -> float:
        ruled = isinstance(self.rows_per_image, str)
        return memory_rows_per_image(
            self.rows_per_image, self.bank.capacity,
            self.option('num_labeled') if ruled else None, self.num_classes)

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
            loss_contrast=['sup'], loss_contrast_unsup=self.chosen_views(step))
        active = {
            name: weight
            for name, weight in zip(views, self.loss_weight)
            if weight and views[name]
        }
        before = step.iteration < self.option('contrast_start')
        if before or not active:
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
            parts.append(feature_rows(features, labels, self.feat_stride)[:2])
        features, labels = (torch.cat(part) for part in zip(*parts))
        keep = labels != IGNORED
        projected = self.head.projections(features, keep)
        predicted = self.head.predictions(projected, keep)
        # The cosine before the selectors: their backward pass then comes
        # first and has freed its memory when the features' gradient is made.
        cosine = class_cosine(predicted, labels, directions)
        attention = None
        if self.class_attention:
            attention = self.head.selectors(predicted, labels).sigmoid()
        return contrastive_loss(cosine, labels, present, attention)
