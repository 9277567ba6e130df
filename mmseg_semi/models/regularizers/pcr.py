# Copyright (c) mmseg_semi authors.
"""PCR: prototype-based consistency regularisation (NeurIPS 2022)."""
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import gather_rows
from ...functional import prototype_loss
from ...functional.sampling import all_features, jittered_positions
from ..banks import ClassBank
from ..prototype_file import load_prototypes
from ..step import Pass, Step
from .consistency import PixelConsistency
from .prototype_generation import generate_prototypes
from .prototype_term import PrototypeTerm
from .term import idle
from .training_plan import TrainingPlan

UPDATES = ('all', 'correct', 'none')
NORMALIZERS = ('valid', 'all', 'kept_boost')


@MODELS.register_module()
class PCR(PrototypeTerm):
    """A second, prototype-based predictor, trained beside the linear one.

    The losses of the linear predictor (Eq. 5 and 9) are `SupervisedLoss` and
    `PixelConsistency` with ``filter='confidence'``; this term adds those of
    the prototype predictor (Eq. 6 and 10) and moves the prototypes (Eq. 11).

    Prototypes come from a file that ``tools/misc/init_prototypes.py`` wrote
    (Algorithm 2) or, without one, are clustered within the training from
    features of the labelled images in ``window``. A model that holds
    prototypes already, from a checkpoint, keeps them: it reads no file and
    passes over ``window``.

    There is no training code of the authors, so ``fidelity`` changes nothing
    here; configs/pcr/pcr_r101_voc_366_official.py sets by hand what their
    settings have.

    Args:
        head (dict, optional): A :class:`PrototypeHead` config. ``projector``
            defaults to None and ``tap`` to ``decoder``: Z, 512 channels in
            the published network.
        num_prototypes (int): K. 4 in the paper; 3 in the authors' settings
            for Cityscapes. Defaults to 4.
        prototypes (str, optional): The file. None samples in ``window``.
        window (tuple[int, int], optional): Iterations whose labelled samples
            are clustered when there is no file. Their features come from the
            student as it is then, so the end of the supervised iterations
            suits best: None is the second half of burn-in, see
            :meth:`.TrainingPlan.pcr_window`.
        capacity (int): Rows kept per class in ``window``; the last ones
            stay. Defaults to 10000 (unknown in the paper).
        begin (int): First iteration of the prototype losses, also of those
            on labelled images; with ``window``, its end if that is later.
            Prototypes are made then, of what was sampled. Defaults to 0.
        threshold (float): tau of Eq. 10, in [0, 1]. Give
            `PixelConsistency` the same. Defaults to 0.8.
        entropy_start (float, optional): Drop pixels of high entropy as well,
            keeping this percentage at first and all at the end, as the
            ``drop_percent`` in the authors' settings suggests. None, as in
            the paper, filters by confidence alone.
        entropy_view (str): Of the entropies for ``entropy_start``, see
            `PixelConsistency`. Defaults to ``weak``.
        epoch_iters (int, optional): Move that percentage once per this many
            iterations; None moves it smoothly.
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
            lets every rank drift; a checkpoint holds those of rank 0, from
            which every rank goes on after a resume. Defaults to True.
        normalize (bool): Cluster the features of ``window`` as unit vectors.
            Defaults to False.
        kmeans (str): ``faiss`` or ``minibatch``, for ``window``.
        seed (int): Of the clustering in ``window``. Defaults to 0.
    """
    name = 'pcr'
    unlabeled = True

    def __init__(self,
                 head: Optional[dict] = None,
                 num_prototypes: int = 4,
                 prototypes: Optional[str] = None,
                 window: Optional[Sequence[int]] = None,
                 capacity: int = 10_000,
                 begin: int = 0,
                 threshold: float = .8,
                 entropy_start: Optional[float] = None,
                 entropy_view: str = 'weak',
                 epoch_iters: Optional[int] = None,
                 cells: Optional[int] = 32,
                 normalizer: str = 'valid',
                 ohem: Optional[dict] = None,
                 update_labeled: str = 'all',
                 average_prototypes: bool = False,
                 normalize: bool = False,
                 **kwargs) -> None:
        head = {
            'projector': None,
            **(head or {}), 'average': average_prototypes
        }
        super().__init__(head=head, size=num_prototypes, **kwargs)
        _check_start(num_prototypes, window, capacity, begin)
        _check_samples(cells, normalizer, ohem, update_labeled)
        _check_filter(threshold, entropy_start, epoch_iters)
        self.file, self.window = prototypes, window
        self.bank = ClassBank(self.num_classes, capacity,
                              self.head_cfg['channels'])
        self.begin, self.normalize = begin, normalize
        # The pixels that the linear predictor learns from, for equal options.
        filters = dict(filter='confidence') if entropy_start is None else dict(
            filter='both', start=entropy_start, epoch_iters=epoch_iters)
        self.trusted = PixelConsistency(
            **filters,
            threshold=threshold,
            entropy_view=entropy_view,
            net=self.net,
            num_classes=self.num_classes)
        self.cells, self.normalizer, self.ohem = cells, normalizer, ohem
        self.update_labeled = update_labeled

    def needs(self) -> Dict[str, str]:
        return self.trusted.needs()

    def plan(self, training: TrainingPlan) -> None:
        self.settle(window=training.pcr_window())

    def stages(self) -> Dict[str, int]:
        if self.file is not None:
            return dict(before=0, prototypes=self.begin)
        first, end = self.option('window')
        stages = dict(before=0, sampling=first)
        if self.begin > end:
            stages['waiting'] = end
        return dict(stages, prototypes=max(end, self.begin))

    def stage(self, step: Step) -> str:
        """With prototypes from elsewhere there is nothing to sample.

        A bank in use tells a training that was resumed in its window, or
        between it and ``begin``.
        """
        if self._given():
            return 'prototypes' if step.iteration >= self.begin else 'before'
        return super().stage(step)

    def _given(self) -> bool:
        return self.once(
            'given', lambda: not self.bank.allocated and bool(
                self.head.prototype_valid.any()))

    def features(self, role: str, step: Step) -> Iterable[str]:
        reads = self.stage(step) in ('sampling', 'prototypes')
        return (self.name, ) if role == 'learner' and reads else ()

    def label_maps(self) -> Iterable[str]:
        return self.trusted.label_maps()

    def local_rules(self) -> List[str]:
        rules = []
        if self.trusted.local_rules():
            rules.append(f'{self.name}: percentile of the entropy')
        if self.ohem:
            rules.append(f'{self.name}: OHEM keeps at least '
                         f'{self.ohem["min_kept"]:,} samples')
        return rules

    def passes(self, framework, step: Step) -> List[Pass]:
        if self.stage(step) != 'prototypes':
            return []
        return self.trusted.passes(framework, step)

    def update_before(self, step: Step) -> None:
        stage = self.stage(step)
        if stage == 'sampling':
            self._fill(step)
        elif stage == 'prototypes':
            self.once('prototypes', lambda: self._begin(step))

    def _begin(self, step: Step) -> None:
        """Make or read prototypes, if there are none yet."""
        self._initialize()
        window = None if self.file else self.option('window')
        self.require_prototypes(
            f'there is no prototype at iteration {step.iteration}, because '
            f'no labelled pixel was sampled in iterations {window}. Widen or '
            'move `window`; when resuming, start from a checkpoint that had '
            'the same `window`.')

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
                normalize=self.normalize,
                backend=self.kmeans,
                seed=self.seed)
            self.bank.release()
        elif self.file is not None and not self._given():
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
        for view in self.chosen_views(step):
            labels = step.labels[self.net, view]
            keep = self.trusted.keep(step, view, labels)
            targets[view] = labels['cls'].masked_fill(~keep, 255)
        drawn = list(self._draw(step, **targets))
        logits = self.scores(drawn)
        loss = prototype_loss(logits[0], drawn[0][1], ohem=self.ohem)
        losses = dict(loss_proto=self.loss_weight * loss)
        if len(drawn) > 1:
            target = torch.cat([labels for _, labels in drawn[1:]])
            loss = prototype_loss(
                torch.cat(logits[1:]), target, normalizer=self.normalizer)
            losses['loss_proto_unsup'] = self.loss_weight * loss
            step.log['proto/trusted_ratio'] = (target != 255).float().mean()
        self._select_updates(logits[0].detach(), drawn[0][1])
        return losses

    def _draw(self, step: Step,
              **targets: Tensor) -> Iterator[Tuple[Tensor, Tensor]]:
        """Features (N, D) and targets (N,) at drawn pixels of each view."""
        positions = {}
        for view, labels in targets.items():
            size = tuple(labels.shape[-2:])
            if self.cells is None:
                out = step.learner(self.net, view)
                features = all_features(out.features[self.name], size,
                                        out.align_corners)
                yield features.flatten(0, 1), labels.flatten()
                continue
            if size not in positions:
                positions[size] = jittered_positions(*size, self.cells,
                                                     step.generator)
            yield self.at_grid(step, view, labels, *positions[size])

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


def _check_start(num_prototypes: int, window: Optional[Sequence[int]],
                 capacity: int, begin: int) -> None:
    """Refuse options that leave no prototypes to start from."""
    if num_prototypes < 1:
        raise ValueError(f'num_prototypes={num_prototypes} per class must be '
                         'at least 1.')
    if window is not None and not 0 <= window[0] < window[1]:
        raise ValueError(f'window={tuple(window)} must be (first, end) '
                         'iterations with 0 <= first < end.')
    if capacity < 1:
        raise ValueError(f'capacity={capacity} rows per class must be at '
                         'least 1.')
    if begin < 0:
        raise ValueError(f'begin={begin} is an iteration, at least 0.')


def _check_samples(cells: Optional[int], normalizer: str, ohem: Optional[dict],
                   update_labeled: str) -> None:
    """Refuse options that no loss or update can be made of."""
    if cells is not None and cells < 1:
        raise ValueError(f'cells={cells} in each direction must be at least '
                         '1; None takes every pixel.')
    if normalizer not in NORMALIZERS:
        raise ValueError(f'normalizer={normalizer!r} must be one of '
                         f'{NORMALIZERS}.')
    if ohem is not None and set(ohem) != {'thresh', 'min_kept'}:
        raise ValueError(f'ohem={dict(ohem)} must give `thresh` and '
                         '`min_kept`, or be None.')
    if update_labeled not in UPDATES:
        raise ValueError(f'update_labeled={update_labeled!r} must be one of '
                         f'{UPDATES}.')


def _check_filter(threshold: float, entropy_start: Optional[float],
                  epoch_iters: Optional[int]) -> None:
    """Refuse options that would trust all pixels or none, unnoticed."""
    if not 0 <= threshold <= 1:
        raise ValueError(f'threshold={threshold} of the confidence must be in '
                         '[0, 1].')
    if entropy_start is not None and not 0 < entropy_start <= 100:
        raise ValueError(f'entropy_start={entropy_start} is the percentage '
                         'kept at first, in (0, 100]; None filters by '
                         'confidence alone.')
    if epoch_iters is not None and epoch_iters < 1:
        raise ValueError(f'epoch_iters={epoch_iters} must be at least 1, or '
                         'None.')
