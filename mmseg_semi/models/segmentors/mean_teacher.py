# Copyright (c) mmseg_semi authors.
from copy import deepcopy
from typing import List, Optional

import torch
from mmseg.registry import MODELS

from ...functional import ema_momentum, ema_update
from ..step import Pass, Step
from .framework import Framework


@MODELS.register_module()
class MeanTeacher(Framework):
    """An EMA teacher labels the weak view, the student learns the mixed one.

    Order of passes in a step: teacher (eval mode) on the weak unlabelled
    view; mixing; student on labelled + mixed images in one forward; with
    ``buffers='own'`` the teacher in train mode on the same batch, which is
    how the official U2PL and BRPG code feeds its BatchNorm statistics.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms.
        mixing (dict, optional): Arguments of :class:`BatchMixer`; None
            leaves the strong view as it is.
        momentum (float): EMA momentum, reached by the ramp
            min(1 - 1 / (k + 1), momentum). Defaults to 0.99.
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
                 segmentor,
                 terms,
                 mixing: Optional[dict] = dict(kind='cutmix'),
                 momentum: float = .99,
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
        self.mixer = mixing and MODELS.build(dict(mixing, type='BatchMixer'))
        self.momentum, self.joint = momentum, joint
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

    def init_weights(self) -> None:
        super().init_weights()
        self.teacher.load_state_dict(self.student.state_dict())

    @torch.no_grad()
    def update_teacher(self) -> None:
        """Average the teacher; once per optimizer step that really stepped.

        During burn-in the teacher is a copy of the student, unless a
        checkpoint brought a teacher that had been averaged before.
        """
        ramping = self.iteration > self.burn_in or self.ema_steps > 0
        decay = ema_momentum(self.ema_steps, self.momentum) if ramping else 0.
        ema_update(
            self.teacher, self.student, decay, buffers=self.buffer_policy)
        if ramping:
            self._host_ema_steps = self.ema_steps + 1
            self._ema_steps += 1

    def strong_views(self, step: Step) -> List[str]:
        return sorted(v for v in step.views if v.startswith('unsup_student'))

    def statistics_pass(self, step: Step) -> Pass:
        """The teacher in train mode on what the student sees."""
        strong = self.strong_views(step) if step.semi else []
        return Pass('statistics', 'teacher', ('sup', *strong))

    def passes(self, step: Step) -> List[Pass]:
        strong = tuple(self.strong_views(step)) if step.semi else ()
        passes = []
        if step.semi:
            passes += [
                Pass(
                    'labeler',
                    'teacher', ('unsup_teacher', ),
                    role='labeler',
                    train=False)
            ]
        learn = [('sup', *strong)] if self.joint else [strong, ('sup', )]
        passes += [
            Pass('+'.join(views), 'student', views, role='learner', grad=True)
            for views in learn if views
        ]
        if self.buffer_policy == 'own':
            passes.append(self.statistics_pass(step))
        return passes

    @torch.no_grad()
    def make_labels(self, step: Step, done: Pass) -> None:
        if done.role != 'labeler':
            return
        weak = done.views[0]
        labels = self.pseudo_labels(step.outs[done.name, weak],
                                    step.views[weak])
        step.log['pseudo/confidence'] = labels['conf'].mean()
        for view in self.strong_views(step):
            mixed = dict(labels)
            if self.mixer:
                mixed = self.mixer(step, view, mixed, self.num_classes)
            step.labels['student', view] = mixed
            step.sources['student', view] = (done.name, weak)
