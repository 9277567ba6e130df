# Copyright (c) mmseg_semi authors.
import warnings
from contextlib import nullcontext
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmseg.registry import MODELS
from torch import nn

from ..step import LabelMaps, Pass, Step
from .paired import WEAK, PairedFramework, next_labels
from .semi_segmentor import own_random_stream, random_stream

OTHER = dict(student1='student2', student2='student1')
# Far from the streams of the terms' heads, which count from 0.
NETWORK_STREAM = 1_000_000


@MODELS.register_module()
class CrossPseudo(PairedFramework):
    """Two students that start from different weights label for each other.

    Order of passes with ``mixing`` (code of CPS with CutMix), each
    by both students in train mode: u0, then u1, without gradient and without
    dropout; the mixed images; the labelled images. Every one of them feeds
    the BatchNorm statistics.

    Without ``mixing`` (code of CPS): the labelled, then the unlabelled
    images, and these forwards label for each other. Labelled images have
    cross labels too, as the view ``sup``; ``views`` of
    :class:`PixelConsistency` leaves them out.

    Labels of a student are always those the other one made. Banks and
    prototypes of a term are the student's own, unless ``shared`` names them.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms; every student has its
            own of each.
        mixing (dict, optional): See :class:`PairedFramework`. Defaults to
            CPS' three boxes in every image.
        shared (Sequence[str]): Modules that both students have in common, as
            named inside a network (``decode_head.query_embed``,
            ``semi_heads.brpg``), or inside a term (``terms.brpg.banks``).
            One object: trained once, initialised once, stored under both
            names.
        init_seeds (Sequence[int], optional): Seeds of the students' initial
            weights. None: those of a single network for ``student1``,
            others for ``student2``, both by the seed of the run.
        concat (bool): One forward on u0 and u1 and one on mixed and labelled
            images instead of separate ones. Defaults to False.
        predict_with (str): Defaults to ``student1``, which CPS evaluates.
    """
    networks = learners = ('student1', 'student2')

    def __init__(self,
                 segmentor=None,
                 terms=None,
                 mixing: Optional[dict] = dict(kind='cutmix_xor', prob=1.),
                 shared: Sequence[str] = (),
                 init_seeds: Optional[Sequence[int]] = None,
                 concat: bool = False,
                 predict_with: str = 'student1',
                 **kwargs) -> None:
        if isinstance(shared, str):
            raise ValueError(f'shared={shared!r} must be a list of names.')
        if init_seeds is not None and len(init_seeds) != 2:
            raise ValueError(f'init_seeds={init_seeds} must be two seeds, one '
                             'of each student.')
        if init_seeds is not None and init_seeds[0] == init_seeds[1]:
            warnings.warn(
                f'init_seeds={init_seeds}: both students get the same seed '
                'and start alike. Without diversity they confirm each other '
                'and learn nothing from it: give two different seeds.')
        # Read by what super().__init__ calls.
        self.shared, self.init_seeds = tuple(shared), init_seeds
        self.labels_weak = mixing is not None
        self._replaced: Dict[str, nn.Module] = {}
        super().__init__(
            segmentor,
            terms,
            mixing=mixing,
            predict_with=predict_with,
            **kwargs)
        self.concat = concat
        self._compared = False

    @property
    def labeler(self) -> Tuple[str, Optional[str]]:
        """The peer of the student that predicts."""
        return OTHER[self.predict_with], None

    def network_stream(self, name: str):
        """``student1`` starts as a single network of the run's seed does."""
        number = self.learners.index(name)
        if self.init_seeds is not None:
            return random_stream(self.init_seeds[number])
        return own_random_stream(NETWORK_STREAM) if number else nullcontext()

    def share_modules(self) -> None:
        """Put modules of ``student1`` into ``student2``."""
        for name in self.shared:
            first, last = self._owner(name, 'student1')
            second, _ = self._owner(name, 'student2')
            self._replaced[name] = getattr(second, last)
            setattr(second, last, getattr(first, last))

    def _owner(self, name: str, net: str) -> Tuple[nn.Module, str]:
        """The module that holds a shared one, and the name it has there."""
        root, path = self.net(net), name
        try:
            if name.startswith('terms.'):
                _, term, path = name.split('.', 2)
                root = self.terms[f'{term}@{net}']
            parent, _, last = path.rpartition('.')
            owner = root.get_submodule(parent)
            owner.get_submodule(last)
        except (AttributeError, KeyError, ValueError) as err:
            raise ValueError(
                f'shared: {net} has no module {name!r} ({err}). Give names '
                'as they are inside a network, "decode_head.conv_seg", or '
                'inside a term, "terms.brpg.banks".') from err
        return owner, last

    def init_network(self, name: str) -> None:
        """Initialise a student; what it shares only with the first one."""
        if name == 'student1' or not self._replaced:
            super().init_network(name)
            return
        for shared, module in self._replaced.items():
            owner, last = self._owner(shared, name)
            setattr(owner, last, module)
        super().init_network(name)
        self.share_modules()

    def begin(self, inputs: dict, data_samples: dict) -> Step:
        """Also warn of students that are the same."""
        if not self._compared:
            self._compared = True
            self._warn_if_alike()
        return super().begin(inputs, data_samples)

    @torch.no_grad()
    def _warn_if_alike(self) -> None:
        """A checkpoint of a plain segmentor, say, gives both its weights."""
        one, other = ([
            p for n, p in self.net(net).named_parameters()
            if not n.startswith('semi_heads.')
        ] for net in self.learners)
        # From the head, which usually differs: backbones may be pretrained.
        if all(torch.equal(a, b) for a, b in zip(one[::-1], other[::-1])):
            warnings.warn(
                'The two students have the same weights, so there is no '
                'diversity: each gets the labels it would give itself. Let '
                'init_seeds differ, and load a checkpoint into the backbones '
                'alone (init_cfg), not into whole networks.')

    def forward_sizes(self, labeled: int, unlabeled: int) -> List[int]:
        unlabeled = self.own_images(unlabeled)
        if self.concat:
            label = len({WEAK, self.partner_view}) * unlabeled
            return [labeled + unlabeled, *([label] if self.mixer else [])]
        return [labeled, unlabeled]

    def passes(self, step: Step) -> List[Pass]:
        strong = tuple(self.strong_views(step)) if step.semi else ()
        label, learn = [], [('sup', ), strong]
        if step.semi and self.mixer:
            label = list(dict.fromkeys([(WEAK, ), (self.partner_view, )]))
            learn.reverse()
        if self.concat:
            label = [sum(label, ())]
            learn = [('sup', *strong)]
        passes = [
            Pass(f'{net}.label', net, views, 'labeler', dropout=False)
            for views in label if views for net in self.learners
        ]
        return passes + [
            Pass(f'{net}.learn', net, views, 'learner', grad=True)
            for views in learn if views for net in self.learners
        ]

    @torch.no_grad()
    def make_labels(self, step: Step, done: Pass) -> None:
        if not step.semi:
            return
        if not self.mixer:
            self._label_each_other(step, done)
        elif done.role == 'labeler' and all(
            (f'{net}.label', view) in step.outs for net in self.learners
                for view in (WEAK, self.partner_view)):
            self._label_mixed(step)

    def _label_each_other(self, step: Step, done: Pass) -> None:
        """A forward that learns makes the labels of the other student."""
        other = OTHER[done.net]
        for view in done.views:
            step.labels[other,
                        view] = self.pseudo_labels(step.outs[done.name, view],
                                                   step.views[view])
            step.sources[other, view] = (done.name, view)
            step.embedders[done.net, view] = (done.name, view)

    def _label_mixed(self, step: Step) -> None:
        labels = self._cross_labels(step, WEAK)
        one, two = (labels[net] for net in self.learners)
        known = one['valid'].sum().clamp_min(1)
        agreed = (one['cls'] == two['cls']) & one['valid']
        step.log['pseudo/confidence'] = one['conf'].mean()
        step.log['pseudo/students_agree'] = agreed.sum() / known
        partner = self._cross_labels(step, self.partner_view)
        if self.partner_view == WEAK:
            partner = {net: next_labels(m) for net, m in partner.items()}
        self.mix_views(step, labels, partner)
        for net in self.learners:
            step.labels[net, WEAK] = labels[net]
            for view in self.strong_views(step):
                step.sources[net, view] = (f'{OTHER[net]}.label', WEAK)
                step.embedders[net, view] = (f'{net}.label', WEAK)

    def _cross_labels(self, step: Step, view: str) -> Dict[str, LabelMaps]:
        """Labels of a view by the student that learns them."""
        return {
            net:
            self.pseudo_labels(step.outs[f'{OTHER[net]}.label', view],
                               step.views[view])
            for net in self.learners
        }
