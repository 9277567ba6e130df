# Copyright (c) mmseg_semi authors.
from copy import deepcopy
from dataclasses import replace
from typing import List, Optional, Tuple

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS

from ...functional import cosine_ema_momentum, ema_momentum, ema_update
from ..augment import PixelFormat
from ..mixing import BatchMixer
from ..step import LabelMaps, Pass, Step, View
from .framework import Framework


@MODELS.register_module()
class MeanTeacher(Framework):
    """An EMA teacher labels the weak view, the student learns the mixed one.

    Order of passes in a step: teacher on the weak unlabelled view; mixing
    and augmentation of the strong views; student on labelled + mixed images
    in one forward; with ``buffers='own'`` the teacher in train mode on the
    same batch, which is how the official U2PL and BRPG code feeds its
    BatchNorm statistics (unless it labels in train mode, which does).

    ``fidelity='official'`` sets the mechanics of the terms alone; momentum,
    mixing and augmentation of an official code are options of their own
    here, which the ``_official`` configs set besides.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms.
        mixing (dict, optional): Arguments of :class:`BatchMixer`; None
            leaves the strong views as they are.
        labeled_mixing (dict, optional): The same for the labelled images,
            with their ground truth (CMB). Defaults to None.
        augment (dict, optional): Arguments of :class:`ViewAugment` for the
            labelled images (``sup``) and the strong views (``strong``), each
            after mixing; one that is absent or None does nothing.
        strong_copies (int, optional): Make so many strong views
            ``unsup_student``, ``unsup_student2``, ... of the weak images on
            the device, each with draws of its own (CMB: 2). 0 takes those of
            the pipeline, None, the default, too, or one copy if it brings
            none.
        momentum (float): EMA momentum, reached by the ramp
            min(1 - 1 / (k + 1), momentum). Defaults to 0.99.
        momentum_schedule (str): ``constant``, or ``cosine``: from
            ``momentum`` to 1 over the iterations of the training with a
            faster ramp, as CMB's code does (from 0.995).
        labeler_mode (str): The teacher labels in ``eval`` mode, or in
            ``train`` mode with the statistics of the batch (CMB).
        labeler_dropout (bool): Dropout is active when labelling in train
            mode, as in CMB's code on DeepLabV3+. Defaults to False.
        label_head (str, optional): Label with a term's prototype head of
            this name instead of the decode head (PCR Table 4, 2). There must
            be prototypes before ``burn_in`` ends.
        buffers (str): Normalisation statistics of the teacher: ``copy`` of
            the student's, ``ema``, or its ``own`` from train-mode passes.
            Defaults to ``own``.
        joint (bool): Labelled and unlabelled images share one student
            forward. False runs the unlabelled ones first (CMB). Defaults to
            True.
        predict_with (str): ``teacher`` (BRPG, PCR, U2PL) or ``student``.
        burn_in (int): Supervised-only iterations; the teacher copies the
            student meanwhile.
    """
    networks = ('student', 'teacher')
    learners = ('student', )

    def __init__(self,
                 segmentor=None,
                 terms=None,
                 mixing: Optional[dict] = dict(kind='cutmix'),
                 labeled_mixing: Optional[dict] = None,
                 augment: Optional[dict] = None,
                 strong_copies: Optional[int] = None,
                 momentum: float = .99,
                 momentum_schedule: str = 'constant',
                 labeler_mode: str = 'eval',
                 labeler_dropout: bool = False,
                 label_head: Optional[str] = None,
                 buffers: str = 'own',
                 joint: bool = True,
                 predict_with: str = 'teacher',
                 **kwargs) -> None:
        super().__init__(segmentor, terms, predict_with=predict_with, **kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(f'EMA momentum must be in [0, 1), got {momentum}'
                             ' (0.99 keeps 99 % of the teacher).')
        if buffers not in ('copy', 'ema', 'own'):
            raise ValueError(f'buffers={buffers!r} is unknown: use "copy", '
                             '"ema" or "own".')
        if momentum_schedule not in ('constant', 'cosine'):
            raise ValueError(f'momentum_schedule={momentum_schedule!r} is '
                             'unknown: use "constant" or "cosine".')
        if labeler_mode not in ('eval', 'train'):
            raise ValueError(f'labeler_mode={labeler_mode!r} is unknown: use '
                             '"eval" or "train".')
        if strong_copies is not None and strong_copies < 0:
            raise ValueError('strong_copies counts views, at least 0, got '
                             f'{strong_copies}.')
        if label_head and label_head not in self.student.semi_heads:
            raise ValueError(f'label_head={label_head!r} is no head of a term:'
                             f' use one of {sorted(self.student.semi_heads)} '
                             'or None.')
        augment = dict(augment or {})
        if set(augment) - {'sup', 'strong'}:
            raise ValueError(
                f'augment names {sorted(augment)}: give '
                'arguments of ViewAugment for "sup" and "strong".')
        if augment:
            PixelFormat.check(self.data_preprocessor)
        self.mixer = _build(mixing, 'BatchMixer')
        self.labeled_mixer = _build(labeled_mixing, 'BatchMixer')
        self.augment = {
            name: _build(cfg, 'ViewAugment')
            for name, cfg in augment.items()
        }
        self.strong_copies = strong_copies
        self.labeler_mode = labeler_mode
        self.labeler_dropout, self.label_head = labeler_dropout, label_head
        self.momentum, self.joint = momentum, joint
        self.momentum_schedule = momentum_schedule
        self.buffer_policy = buffers  # `buffers` is a method of modules
        self.teacher = deepcopy(self.student).requires_grad_(False).eval()
        self.register_buffer('_ema_steps', torch.zeros((), dtype=torch.long))
        self._host_ema_steps: Optional[int] = 0

    @staticmethod
    def _forget_host_state(module, incompatible_keys) -> None:
        module._host_iteration = module._host_ema_steps = None

    @property
    def ema_steps(self) -> int:
        """Averaging updates done since burn-in."""
        if self._host_ema_steps is None:
            self._host_ema_steps = int(self._ema_steps)
        return self._host_ema_steps

    def train(self, mode: bool = True) -> 'MeanTeacher':
        """The teacher stays in eval mode; passes switch it themselves."""
        super().train(mode)
        self.teacher.eval()
        return self

    @property
    def labeler(self) -> Tuple[str, Optional[str]]:
        return 'teacher', self.label_head

    def hooks(self) -> List[dict]:
        return [dict(type='EMATeacherHook'), *super().hooks()]

    def init_weights(self) -> None:
        super().init_weights()
        self.restart_teacher()

    def restart_teacher(self) -> None:
        """Make the teacher a copy of the student."""
        self.teacher.load_state_dict(self.student.state_dict())

    @torch.no_grad()
    def update_teacher(self) -> None:
        """Average the teacher; once per optimizer step that really stepped.

        During burn-in the teacher is a copy of the student, unless a
        checkpoint brought a teacher that had been averaged before.
        """
        ramping = self.iteration > self.burn_in or self.ema_steps > 0
        decay = self._decay() if ramping else 0.
        ema_update(
            self.teacher, self.student, decay, buffers=self.buffer_policy)
        if ramping:
            self._host_ema_steps = self.ema_steps + 1
            self._ema_steps += 1

    def _decay(self) -> float:
        if self.momentum_schedule == 'cosine':
            # `iteration` counts the step that was just taken.
            return cosine_ema_momentum(self.ema_steps,
                                       max(self.iteration - 1, 0),
                                       self.total_iters, self.momentum)
        return ema_momentum(self.ema_steps, self.momentum)

    def begin(self, inputs: dict, data_samples: dict) -> Step:
        """Also mixes and augments the labelled images."""
        step = super().begin(inputs, data_samples)
        strong = sorted(v for v in step.views if v.startswith('unsup_student'))
        if self.strong_copies and strong:
            raise ValueError(
                f'strong_copies={self.strong_copies} makes the strong views '
                f'on the device, but the pipeline brings {strong}: remove '
                'these branches from MultiBranch, or strong_copies.')
        view = step.views['sup']
        labels = dict(cls=view.labels, valid=view.valid)
        self._vary(step, 'sup', labels, self.labeled_mixer, 'sup')
        if step.views['sup'] is not view:
            step.views['sup'] = _with_own_labels(step.views['sup'])
        return step

    def _vary(self, step: Step, view: str, labels: LabelMaps,
              mixer: Optional[BatchMixer], kind: str) -> LabelMaps:
        """Mix and augment one view; its label maps move along."""
        if mixer:
            labels = mixer(step, view, labels, self.num_classes)
        augment = self.augment.get(kind)
        if augment:
            pixels = PixelFormat.of(self.data_preprocessor,
                                    step.views[view].image)
            labels = augment(step, view, labels, pixels)
        return labels

    def strong_views(self, step: Step) -> List[str]:
        """The views the student learns from, in order."""
        brought = sorted(
            v for v in step.originals if v.startswith('unsup_student'))
        copies = self.strong_copies
        if copies is None:
            copies = 0 if brought else 1
        if copies:
            return ['unsup_student'
                    ] + [f'unsup_student{i}' for i in range(2, copies + 1)]
        return brought

    def statistics_pass(self, step: Step) -> Pass:
        """The teacher in train mode on what the student sees."""
        strong = self.strong_views(step) if step.semi else []
        return Pass('statistics', 'teacher', ('sup', *strong))

    def forward_sizes(self, labeled: int, unlabeled: int) -> List[int]:
        views = self.strong_copies or 1
        if self.joint:
            sizes = [labeled + views * unlabeled]
        else:
            sizes = [labeled, views * unlabeled]
        if self.labeler_mode == 'train':
            sizes.append(unlabeled)
        return sizes

    def local_rules(self, accumulate: int = 1) -> List[str]:
        mixers = [
            m for m in (self.mixer, self.labeled_mixer)
            if m and m.kind != 'cutout'
        ]
        rules = [m.local_rule() for m in mixers]
        return list(dict.fromkeys(rules + super().local_rules(accumulate)))

    def passes(self, step: Step) -> List[Pass]:
        strong = tuple(self.strong_views(step)) if step.semi else ()
        passes = []
        if step.semi:
            passes += [
                Pass(
                    'labeler',
                    'teacher', ('unsup_teacher', ),
                    role='labeler',
                    train=self.labeler_mode == 'train',
                    dropout=self.labeler_dropout,
                    features=frozenset(filter(None, [self.label_head])))
            ]
        learn = [('sup', *strong)] if self.joint else [strong, ('sup', )]
        passes += [
            Pass('+'.join(views), 'student', views, role='learner', grad=True)
            for views in learn if views
        ]
        labels_in_train = step.semi and self.labeler_mode == 'train'
        if self.buffer_policy == 'own' and not labels_in_train:
            passes.append(self.statistics_pass(step))
        return passes

    @torch.no_grad()
    def make_labels(self, step: Step, done: Pass) -> None:
        if done.role != 'labeler':
            return
        weak = done.views[0]
        out = step.outs[done.name, weak]
        if self.label_head:
            out = out.scored_by(self.label_head)
        labels = self.pseudo_labels(out, step.views[weak])
        step.log['pseudo/confidence'] = labels['conf'].mean()
        step.labels['student', weak] = labels
        for view in self.strong_views(step):
            if view not in step.originals:
                step.views[view] = step.views[weak]
            step.labels['student', view] = self._vary(step, view, dict(labels),
                                                      self.mixer, 'strong')
            step.sources['student', view] = (done.name, weak)


def _build(cfg: Optional[dict], kind: str):
    return cfg and MODELS.build({'type': kind, **cfg})


def _with_own_labels(view: View) -> View:
    """Let the samples carry the labels of the varied images.

    The losses that a wrapped config declares read them there.
    """
    samples = [sample.new() for sample in view.samples]
    for sample, labels in zip(samples, view.labels):
        sample.gt_sem_seg = PixelData(data=labels[None])
        if 'gt_edge_map' in sample:  # of the labels before
            del sample.gt_edge_map
    return replace(view, samples=samples)
