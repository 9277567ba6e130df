# Copyright (c) mmseg_semi authors.
from typing import List, Optional

import torch
from mmseg.registry import MODELS

from ..step import Pass, Step
from .paired import WEAK, PairedFramework, next_labels

LEARN = 'sup+weak'
DROPPED = f'{WEAK}_dropped'


@MODELS.register_module()
class FixMatch(PairedFramework):
    """The student labels the weak view for its own strong views.

    Order of passes (code of UniMatch): the student in eval mode on
    the images that will be pasted, without gradient; in train mode on the
    labelled and the weak images in one forward, whose weak share makes the
    pseudo-labels and takes no gradient; then on the mixed strong views in
    one forward.

    UniMatch is this with two strong views and ``feature_dropout``:
    the decoder reads the features of labelled and weak images a second time
    with half of the channels dropped, and learns the labels of the weak view
    there, the view ``unsup_teacher_dropped``.

    Its loss (L_x + L_u) / 2 is a matter of the terms' weights.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms.
        mixing (dict, optional): See :class:`PairedFramework`. Defaults to
            one box of any area in half of the images, UniMatch's.
        halves (bool): See :class:`PairedFramework`. Defaults to False: the
            next image is pasted.
        feature_dropout (float): Probability of dropping a channel of the
            encoder's output; 0 for no such view. Defaults to 0.
        predict_with (str): ``student``.
    """
    networks = learners = ('student', )
    labels_weak = False  # only of the mixed views

    def __init__(self,
                 segmentor=None,
                 terms=None,
                 mixing: Optional[dict] = dict(
                     kind='cutmix_single', prob=.5, per_image=True),
                 halves: bool = False,
                 feature_dropout: float = 0.,
                 predict_with: str = 'student',
                 **kwargs) -> None:
        super().__init__(
            segmentor,
            terms,
            mixing=mixing,
            halves=halves,
            predict_with=predict_with,
            **kwargs)
        if not 0 <= feature_dropout < 1:
            raise ValueError('feature_dropout is a probability below 1, got '
                             f'{feature_dropout}.')
        self.feature_dropout = feature_dropout

    def forward_sizes(self, labeled: int, unlabeled: int) -> List[int]:
        unlabeled = self.own_images(unlabeled)
        return [labeled + unlabeled, unlabeled]

    def passes(self, step: Step) -> List[Pass]:
        if not step.semi:
            return [
                Pass('sup', 'student', ('sup', ), role='learner', grad=True)
            ]
        passes = [
            Pass(
                LEARN,
                'student', ('sup', WEAK),
                role='learner',
                grad=True,
                channel_dropout=self.feature_dropout,
                clean_too=self.feature_dropout > 0),
            Pass(
                'strong',
                'student',
                tuple(self.strong_views(step)),
                role='learner',
                grad=True)
        ]
        if self.mixer:
            passes.insert(
                0,
                Pass(
                    'partner',
                    'student', (self.partner_view, ),
                    role='labeler',
                    train=False))
        return passes

    @torch.no_grad()
    def make_labels(self, step: Step, done: Pass) -> None:
        if done.name != LEARN:
            return
        labels = self.pseudo_labels(step.outs[LEARN, WEAK], step.views[WEAK])
        step.log['pseudo/confidence'] = labels['conf'].mean()
        partner = None
        if self.mixer:
            view = self.partner_view
            partner = self.pseudo_labels(step.outs['partner', view],
                                         step.views[view])
            partner = next_labels(partner) if view == WEAK else partner
        self.mix_views(step, dict(student=labels), partner
                       and dict(student=partner))
        views = self.strong_views(step)
        if self.feature_dropout:
            step.views[DROPPED] = step.views[WEAK]
            step.labels['student', DROPPED] = labels
            views.append(DROPPED)
        for view in views:
            step.sources['student', view] = (LEARN, WEAK)
