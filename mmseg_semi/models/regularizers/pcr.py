# Copyright (c) mmseg_semi authors.
"""PCR: prototype-based consistency regularisation (NeurIPS 2022)."""
from typing import Dict, Iterable, Iterator, Optional, Sequence, Tuple

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import gather_rows
from ...functional import (confidence_filter, entropy_filter, keep_percent,
                           prototype_loss)
from ...functional.sampling import all_positions, jittered_positions
from ..banks import ClassBank
from ..prototype_file import load_prototypes
from ..step import LabelMaps, Step
from .prototype_generation import generate_prototypes
from .prototype_term import PrototypeTerm
from .term import idle

UPDATES = ('all', 'correct', 'none')


@MODELS.register_module()
class PCR(PrototypeTerm):
    """A second, prototype-based predictor, trained beside the linear one.

    The losses of the linear predictor (Eq. 5 and 9) are `SupervisedLoss` and
    `PixelConsistency` with ``filter='confidence'``; this term adds those of
    the prototype predictor (Eq. 6 and 10) and moves the prototypes (Eq. 11).

    Prototypes come from a file that ``tools/misc/init_prototypes.py`` wrote
    (Algorithm 2) or, without one, are clustered within the training from
    features of the labelled images in ``window``. A model that holds
    prototypes already, from a checkpoint, keeps them.

    Args:
        head (dict): A :class:`PrototypeHead` config. ``in_channels`` is the
            width of the tapped feature; ``projector`` defaults to None and
            ``tap`` to ``decoder``: Z, 512 channels in the published network.
        num_prototypes (int): K. 4 in the paper; 3 in the authors' settings
            for Cityscapes. Defaults to 4.
        prototypes (str, optional): The file. None samples in ``window``.
        window (tuple[int, int], optional): Iterations whose labelled samples
            are clustered when there is no file. Their features come from the
            student as it is then, so the end of the supervised iterations
            suits best.
        capacity (int): Rows kept per class in ``window``; the last ones
            stay. Defaults to 10000 (unknown in the paper).
        begin (int): First iteration of the prototype losses, also of those
            on labelled images; with ``window``, its end if that is later.
            Defaults to 0.
        threshold (float): tau of Eq. 10, in [0, 1]. Give
            `PixelConsistency` the same. Defaults to 0.8.
        entropy_start (float, optional): Drop pixels of high entropy as well,
            keeping this percentage at first and all at the end, as the
            ``drop_percent`` in the authors' settings suggests. None, as in
            the paper, filters by confidence alone.
        cells (int, optional): One pixel is drawn in each of ``cells`` x
            ``cells`` cells, the same in all images. None takes every pixel
            (Eq. 6 and 10 as printed). Defaults to 32.
        normalizer (str): Of the loss on unlabelled samples: ``valid`` is the
            mean over the trusted ones, ``all`` over all samples,
            ``kept_boost`` multiplies the first by all / trusted (U2PL). The
            paper divides a sum by the batch size. Defaults to ``valid``.
        ohem (dict, optional): ``thresh`` and ``min_kept`` of hard example
            mining on the labelled samples. Defaults to None, plain CE.
        update_labeled (str): Labelled samples that move prototypes: ``all``,
            those the prototypes classify ``correct``-ly, or ``none``.
            Defaults to ``all``.
        average_prototypes (bool): The teacher's prototypes are an average of
            the student's, as if they were parameters. False copies them.
        momentum (float): alpha of Eq. 11; 1 freezes the prototypes (Table 4,
            3). Defaults to 0.99.
        loss_weight (float): Of both losses. Defaults to 1.
        sync_prototypes (bool): Move them by the samples of all ranks. False
            lets every rank drift. Defaults to True.
        kmeans (str): ``faiss`` or ``minibatch``, for ``window``.
        seed (int): Of the clustering in ``window``. Defaults to 0.
    """
    name = 'pcr'
    unlabeled = True
    view = 'unsup_student'

    def __init__(self,
                 head: dict,
                 num_prototypes: int = 4,
                 prototypes: Optional[str] = None,
                 window: Optional[Sequence[int]] = None,
                 capacity: int = 10_000,
                 begin: int = 0,
                 threshold: float = .8,
                 entropy_start: Optional[float] = None,
                 cells: Optional[int] = 32,
                 normalizer: str = 'valid',
                 ohem: Optional[dict] = None,
                 update_labeled: str = 'all',
                 average_prototypes: bool = False,
                 **kwargs) -> None:
        defaults = dict(projector=None, channels=head.get('in_channels'))
        head = {**defaults, **head, 'average': average_prototypes}
        super().__init__(head=head, size=num_prototypes, **kwargs)
        if num_prototypes < 1:
            raise ValueError(f'num_prototypes={num_prototypes} per class must '
                             'be at least 1.')
        if prototypes is None and window is None:
            raise ValueError(
                'PCR needs prototypes to start from: give `prototypes`, a '
                'file of tools/misc/init_prototypes.py, or `window`, the '
                'iterations in which to sample features for them.')
        if window is not None and not 0 <= window[0] < window[1]:
            raise ValueError(f'window={tuple(window)} must be (first, end) '
                             'iterations with 0 <= first < end.')
        if update_labeled not in UPDATES:
            raise ValueError(f'update_labeled={update_labeled!r} must be one '
                             f'of {UPDATES}.')
        self.file, self.window = prototypes, window
        self.bank = ClassBank(self.num_classes, capacity, head['channels'])
        self.begin = begin
        self.threshold, self.entropy_start = threshold, entropy_start
        self.cells, self.normalizer, self.ohem = cells, normalizer, ohem
        self.update_labeled = update_labeled

    def stages(self) -> Dict[str, int]:
        if self.file is not None:
            return dict(before=0, prototypes=self.begin)
        first, end = self.window
        return dict(before=0, sampling=first, prototypes=max(end, self.begin))

    def features(self, role: str, step: Step) -> Iterable[str]:
        wanted = role == 'learner' and self.stage(step) != 'before'
        return (self.name, ) if wanted else ()

    def label_maps(self) -> Iterable[str]:
        return () if self.entropy_start is None else ('entropy', )

    def update_before(self, step: Step) -> None:
        stage = self.stage(step)
        if stage == 'sampling':
            self._fill(step)
        elif stage == 'prototypes' and not self._ready:
            self._initialize()
            self.require_prototypes(
                f'there is no prototype at iteration {step.iteration}, '
                f'because no labelled pixel was sampled in iterations '
                f'{self.window}. Widen or move `window`; when resuming, start '
                'from a checkpoint that had the same `window`.')

    def _fill(self, step: Step) -> None:
        """Bank labelled samples of this step, of all ranks (Algorithm 2)."""
        self.bank.allocate()
        (features, labels), = self._draw(step, sup=step.views['sup'].labels)
        labels = labels.masked_fill(labels == 255, -1)
        self.bank.push(
            gather_rows(features), gather_rows(labels),
            gather_rows(torch.ones_like(features[:, 0])))

    def _initialize(self) -> None:
        """Cluster the bank, once, or read the file, if there is none yet."""
        if self.bank.allocated:
            found = generate_prototypes(
                dict(all=self.bank),
                dict(all=self.size),
                self.size,
                apo=None,
                center='cluster',
                backend=self.kmeans,
                seed=self.seed)
            self.bank.release()
        elif self.file is not None and not bool(
                self.head.prototype_valid.any()):
            meta = MessageHub.get_current_instance().get_info(
                'dataset_meta', None) or {}
            found = load_prototypes(self.file,
                                    tuple(self.head.prototypes.shape),
                                    meta.get('classes'))
        else:
            return
        self.head.set_prototypes(*found)

    def loss(self, step: Step) -> Dict[str, Tensor]:
        self.samples = None
        if self.stage(step) != 'prototypes':
            return dict(loss_proto=idle(self.head))
        targets = dict(sup=step.views['sup'].labels)
        if step.semi:
            labels = step.labels[self.net, self.view]
            keep = self.keep(step, labels)
            targets[self.view] = labels['cls'].masked_fill(~keep, 255)
        drawn = list(self._draw(step, **targets))
        logits = self.scores(drawn)
        loss = prototype_loss(logits[0], drawn[0][1], ohem=self.ohem)
        losses = dict(loss_proto=self.loss_weight * loss)
        if step.semi:
            loss = prototype_loss(
                logits[1], drawn[1][1], normalizer=self.normalizer)
            losses['loss_proto_unsup'] = self.loss_weight * loss
            step.log['proto/trusted_ratio'] = (drawn[1][1]
                                               != 255).float().mean()
        self._select_updates(logits[0].detach(), drawn[0][1])
        return losses

    def _draw(self, step: Step,
              **targets: Tensor) -> Iterator[Tuple[Tensor, Tensor]]:
        """Features (N, D) and targets (N,) at drawn pixels of each view."""
        positions = {}
        for view, labels in targets.items():
            size = tuple(labels.shape[-2:])
            if size not in positions:
                positions[size] = jittered_positions(
                    *size, self.cells,
                    step.generator) if self.cells else all_positions(*size)
            yield self.at_grid(step, view, labels, *positions[size])

    @torch.no_grad()
    def keep(self, step: Step, labels: LabelMaps) -> Tensor:
        """(B, H, W) bool: the pixels whose pseudo-label is trusted."""
        known = labels['valid'] & (labels['cls'] != 255)
        keep = confidence_filter(labels['conf'], known, self.threshold)
        if self.entropy_start is not None:
            percent = keep_percent(step.iteration, step.total_iters,
                                   self.entropy_start)
            keep &= entropy_filter(labels['entropy'], known, percent)
        return keep

    def _select_updates(self, logits: Tensor, target: Tensor) -> None:
        """Leave out the labelled samples that shall move nothing."""
        if self.update_labeled == 'all':
            return
        moves = torch.zeros_like(target, dtype=torch.bool)
        if self.update_labeled == 'correct':
            moves = logits.argmax(dim=1) == target
        rest = self.samples.target[len(target):]
        self.samples = self.samples._replace(
            target=torch.cat([target.masked_fill(~moves, 255), rest]))
