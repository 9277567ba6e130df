# Copyright (c) mmseg_semi authors.
"""Frameworks that paste a second unlabelled batch into the first."""
from dataclasses import replace
from typing import Dict, List, Optional, Sequence

from mmseg.registry import MODELS

from ..mixing import BatchMixer, partner_of_one
from ..step import LabelMaps, Step, View
from .framework import Framework

WEAK = 'unsup_teacher'
KINDS = ('cutmix', 'cutmix_single', 'cutmix_xor')


def partner_of(view: str) -> str:
    """Name of the view that is pasted into this one."""
    return view.replace('unsup_', 'partner_', 1)


def halves_of(name: str, view: View) -> List[View]:
    """Cut a view into two of as many images."""
    number, odd = divmod(len(view.image), 2)
    if odd:
        raise ValueError(
            f'The branch {name} has {len(view.image)} images, which is no '
            'two equal batches: give SemiSampler an even number of '
            'unlabelled images for every batch of a process (fewer processes '
            'or accumulated batches), or set halves=False.')
    parts = slice(None, number), slice(number, None)
    return [
        replace(
            view,
            image=view.image[part],
            samples=view.samples[part],
            valid=view.valid[part]) for part in parts
    ]


def next_view(view: View) -> View:
    """The view whose image i is image i + 1 of this one.

    Where every process has a single image it is that of the next process.
    Its sample stays this process's: what is pasted is not scored.
    """
    if len(view.image) > 1:
        return replace(
            view,
            image=view.image.roll(-1, 0),
            samples=[*view.samples[1:], view.samples[0]],
            valid=view.valid.roll(-1, 0))
    return replace(
        view,
        **partner_of_one(dict(image=view.image, valid=view.valid), WEAK) or {})


def next_labels(labels: LabelMaps) -> LabelMaps:
    """The label maps of :func:`next_view`."""
    if len(labels['cls']) > 1:
        return {name: value.roll(-1, 0) for name, value in labels.items()}
    return partner_of_one(labels, WEAK) or labels


class PairedFramework(Framework):
    """Unlabelled images u0, and u1 that are pasted into them.

    Views: ``unsup_teacher`` is u0 and ``partner_teacher`` u1 as they are
    labelled; ``unsup_student`` (and further ones of that name, if the
    pipeline has them) is u0 as it is learned, u1 pasted in, where
    ``partner_student`` is what was pasted. Without such branches in the
    pipeline the student sees the images as they are labelled.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms.
        mixing (dict, optional): Arguments of :class:`BatchMixer`, whose kind
            must be one of its CutMix boxes; None for no u1.
        halves (bool): u1 is the second half of the unlabelled batch, so
            SemiSampler counts both. False: u1 is the next image of the same
            batch, which spares its passes.
        same_image_mix (bool): u1 shows the images of u0 in another crop: the
            branches ``partner_teacher`` (and ``partner_student``) of the
            pipeline. The loaders of CPS' and UniMatch's code come to that.
            Defaults to False.
    """

    def __init__(self,
                 segmentor=None,
                 terms=None,
                 mixing: Optional[dict] = None,
                 halves: bool = True,
                 same_image_mix: bool = False,
                 **kwargs) -> None:
        super().__init__(segmentor, terms, **kwargs)
        self.mixer: Optional[BatchMixer] = None
        if mixing is not None:
            self.mixer = MODELS.build({'type': 'BatchMixer', **mixing})
            if self.mixer.kind not in KINDS:
                raise ValueError(
                    f'{type(self).__name__} pastes boxes of one batch into '
                    f'another: mixing kind {self.mixer.kind!r} must be one '
                    f'of {KINDS}.')
        self.halves, self.same_image_mix = halves, same_image_mix

    @property
    def partner_view(self) -> str:
        """The view whose labels u1 needs: its own, or that of u0."""
        apart = self.same_image_mix or self.halves
        return partner_of(WEAK) if apart else WEAK

    def own_images(self, unlabeled: int) -> int:
        """Images of u0 among the unlabelled ones of a batch."""
        cut = self.mixer and self.halves and not self.same_image_mix
        return unlabeled // 2 if cut else unlabeled

    def begin(self, inputs: dict, data_samples: dict) -> Step:
        """Also tell u0 and u1 apart."""
        step = super().begin(inputs, data_samples)
        views = step.views
        if not step.semi:
            return step
        if WEAK not in views:
            raise ValueError(f'The batch has the branches {sorted(views)}, '
                             f'but {type(self).__name__} labels {WEAK!r}.')
        weak = [name for name in views if name.startswith('unsup_')]
        if self.mixer and self.same_image_mix:
            missing = {partner_of(name) for name in weak} - set(views)
            if missing:
                raise ValueError(
                    f'same_image_mix=True needs the branches '
                    f'{sorted(missing)}, another crop of the same images, in '
                    "the unlabelled pipeline's MultiBranch.")
        elif self.mixer and self.halves:
            for name in weak:
                views[name], views[partner_of(name)] = halves_of(
                    name, views[name])
        elif self.mixer:
            for name in weak:
                views[partner_of(name)] = next_view(views[name])
        if len(weak) == 1:
            views['unsup_student'] = views[WEAK]
            if self.mixer:
                views[partner_of('unsup_student')] = views[partner_of(WEAK)]
        step.originals.update(views)
        return step

    def local_rules(self, accumulate: int = 1) -> List[str]:
        mixers = [self.mixer] if self.mixer and not self.same_image_mix else []
        return [m.local_rule()
                for m in mixers] + super().local_rules(accumulate)

    def strong_views(self, step: Step) -> List[str]:
        """The views the networks learn from, in order."""
        return sorted(v for v in step.views if v.startswith('unsup_student'))

    def mix_views(self, step: Step, labels: Dict[str, LabelMaps],
                  partner_labels: Optional[Dict[str, LabelMaps]]) -> None:
        """Paste u1 into u0, all labels by the same masks.

        Every strong view has masks of its own.

        Args:
            step (Step): The step; its strong views are replaced and the
                mixed labels of every learner written.
            labels (dict[str, dict]): Labels of u0 by learner.
            partner_labels (dict[str, dict], optional): Those of u1. None
                leaves the strong views as they are.
        """
        for view in self.strong_views(step):
            sets: Sequence[LabelMaps] = list(labels.values())
            if partner_labels is not None:
                sets = self.mixer.blend(
                    step, view, sets, step.views[partner_of(view)],
                    [partner_labels[net] for net in labels], self.num_classes)
            for net, mixed in zip(labels, sets):
                step.labels[net, view] = dict(mixed)
