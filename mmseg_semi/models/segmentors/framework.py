# Copyright (c) mmseg_semi authors.
"""The training step, common to all frameworks."""
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ...functional import predictions
from ..loss_watch import LossWatch, expects_loss_scaler
from ..regularizers.training_plan import TrainingPlan
from ..state import registered_state
from ..step import LabelMaps, Out, Pass, Step, View, merge_passes
from .semi_segmentor import SemiSegmentor
from .step_seeds import STREAMS, seed_dropout, step_seed

BATCH_NORM = 'BatchNorm: statistics (SyncBN: of all processes)'
MEANS = 'means over valid or kept pixels: each batch weighs the same'


class Framework(SemiSegmentor):
    """A :class:`SemiSegmentor` that knows how to take a training step.

    A framework declares :meth:`passes` in the order they run and writes the
    pseudo-labels in :meth:`make_labels`; it contains no loss.

    Args:
        segmentor (str | dict): The stock segmentor.
        terms (dict[str, dict | None]): Loss terms.
        burn_in (int | float): Iterations at the start that use labelled
            images only; below 1 the share of the training that they are.
            Defaults to 0.
        label_padding (bool): Padding of unlabelled images gets pseudo-labels
            like every other pixel, as in the code of CMB and CPS. Defaults
            to False.
        skip_bad_losses (int): Where a loss scaler is at work, how many
            batches in a row may have losses that are not finite, see
            :class:`.LossWatch`. Defaults to 3.
    """

    def __init__(self,
                 segmentor=None,
                 terms=None,
                 burn_in: float = 0,
                 label_padding: bool = False,
                 skip_bad_losses: int = 3,
                 **kwargs) -> None:
        super().__init__(segmentor, terms, **kwargs)
        self.loss_watch = LossWatch(skip_bad_losses)
        if burn_in < 0 or burn_in >= 1 and burn_in != int(burn_in):
            raise ValueError(
                f'burn_in={burn_in} must be a number of iterations, or a '
                'share of the training below 1.')
        self._burn_in, self.label_padding = burn_in, label_padding
        kinds = Counter((term.net, term.name) for term in self.terms.values())
        self._twins = {kind for kind, number in kinds.items() if number > 1}
        self.seed = 0
        self.total_iters: Optional[int] = None
        self.accumulate = 1  # batches of an iteration; the loop sets it
        self._part = 0  # of which so many are done
        # Whether a loss scaler is at work; the loop sets it.
        self.loss_scaler: Optional[bool] = None
        self._scaled = False
        self.register_buffer('_iteration', torch.zeros((), dtype=torch.long))
        self._host_iteration: Optional[int] = 0
        self.register_load_state_dict_post_hook(self._forget_host_state)

    @staticmethod
    def _forget_host_state(module, incompatible_keys) -> None:
        module._host_iteration = None

    @property
    def iteration(self) -> int:
        """Iterations done. Kept on the host too: no device read."""
        if self._host_iteration is None:
            self._host_iteration = int(self._iteration)
        return self._host_iteration

    @iteration.setter
    def iteration(self, value: int) -> None:
        self._host_iteration = value
        self._iteration.fill_(value)
        self._part = 0  # an interrupted iteration begins anew

    @property
    def burn_in(self) -> int:
        """Iterations at the start that use labelled images only."""
        if self._burn_in >= 1 or not self._burn_in:
            return int(self._burn_in)
        return round(self._burn_in * self.known_total_iters())

    @burn_in.setter
    def burn_in(self, value: float) -> None:
        self._burn_in = value

    @property
    def needs_unlabeled(self) -> bool:
        return any(term.unlabeled for term in self.terms.values())

    @property
    def labeler(self) -> Tuple[str, Optional[str]]:
        """Network and prototype head that make the pseudo-labels which the
        predicting network, or the one it averages, learns from; None for the
        decode head."""
        return self.learners[0], None

    @property
    def confidence_threshold(self) -> Optional[float]:
        """Confidence from which pseudo-labels of pixels are learned from;
        None where no term keeps pixels by it."""
        known = [term.confidence_threshold for term in self.terms.values()]
        return next((t for t in known if t is not None), None)

    def hooks(self) -> List[dict]:
        """Configs of the hooks that it cannot be trained without.

        The training loop registers those that the config leaves out.
        """
        shared = next(registered_state(self), None)
        return [] if shared is None else [dict(type='MemoryBankHook')]

    def plan_training(self, plan: TrainingPlan) -> None:
        """Settle what follows from the length of the training.

        Called once, before a checkpoint is loaded: terms give state whose
        shape depends on it its shape.
        """
        self.total_iters = plan.total_iters
        for term in self.terms.values():
            term.plan(replace(plan, burn_in=self.burn_in))

    def passes(self, step: Step) -> List[Pass]:
        """The framework's own passes, in order."""
        raise NotImplementedError

    def statistics_pass(self, step: Step) -> Pass:
        """The labelling network in train mode on what the learner sees.

        Terms that measure the mixed batch ask for it.
        """
        raise TypeError(
            f'{type(self).__name__} has no network that could look at the '
            'mixed images: use entropy_view="weak" in PixelConsistency.')

    def forward_sizes(self, labeled: int, unlabeled: int) -> List[int]:
        """Images in each forward in train mode once all take part.

        Args:
            labeled (int): Labelled images in a batch of one process.
            unlabeled (int): Unlabelled ones, not 0.
        """
        return [labeled]

    def local_rules(self, accumulate: int = 1) -> List[str]:
        """As :meth:`Term.local_rules`, of framework and terms.

        Args:
            accumulate (int): Batches of an iteration; of several also the
                :meth:`Term.batch_rules`.
        """
        terms = self.terms.values()
        rules = [rule for term in terms for rule in term.local_rules()]
        if any(
                isinstance(module, _BatchNorm)
                for module in self.net(self.learners[0]).modules()):
            rules.append(BATCH_NORM)
        if accumulate > 1:
            rules += [rule for term in terms for rule in term.batch_rules()]
            rules.append(MEANS)
        return list(dict.fromkeys(rules))

    def make_labels(self, step: Step, done: Pass) -> None:
        """Called after every pass; writes ``step.labels`` when it can."""

    def loss(self, inputs: Dict[str, Tensor],
             data_samples: Dict[str, list]) -> Dict[str, Tensor]:
        """One batch of a training step, top to bottom.

        Args:
            inputs (dict[str, Tensor]): Images (B, 3, H, W) by branch.
            data_samples (dict[str, list]): Samples by branch.

        Returns:
            dict[str, Tensor]: Losses, and health scalars whose names do not
            contain "loss".
        """
        step = self.begin(inputs, data_samples)
        for item in self.schedule(step):
            self.run(step, item)
            self.make_labels(step, item)
        with torch.no_grad():
            for term in self.terms.values():
                term.on_labels(step)
            for term in self.terms.values():
                term.update_before(step)
        losses: Dict[str, Tensor] = {}
        for name, term in self.terms.items():
            losses.update(self._named(name, term.loss(step)))
        with torch.no_grad():
            for term in self.terms.values():
                term.update_after(step)
        self._part = (self._part + 1) % self.accumulate
        if self._part == 0:
            self.iteration += 1
        return {**losses, **step.log}

    def parse_losses(
            self, losses: Dict[str,
                               Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """As the stock one, with an eye on losses that are not finite.

        Raises:
            NotFiniteError: If those of the batch before were not.
        """
        total, parsed = super().parse_losses(losses)
        # `loss` has counted this iteration, unless batches of it are to come.
        number = self.iteration + (self._part > 0)
        self.loss_watch.look(parsed, number, self._scaled)
        return total, parsed

    def begin(self, inputs: dict, data_samples: dict) -> Step:
        """Seed the step and collect the views."""
        if not isinstance(inputs, dict) or 'sup' not in inputs:
            raise ValueError(
                'A training batch needs the branch "sup" with labelled '
                'images: use SemiSegDataset with a MultiBranch pipeline.')
        device, rank = inputs['sup'].device, get_rank()
        self._scaled = self.loss_scaler
        if self._scaled is None:
            self._scaled = expects_loss_scaler(device)
        place = {stream: (rank, stream, self._part) for stream in STREAMS}
        place['common'] = 0, 'common'  # to all batches of an iteration
        seeds = {
            stream: step_seed(self.seed, self.iteration, *where)
            for stream, where in place.items()
        }
        seed_dropout(device, seeds['network'])
        views = {
            name: make_view(image, data_samples[name])
            for name, image in inputs.items()
        }
        if self.label_padding:
            views.update({
                name: replace(view, valid=torch.ones_like(view.valid))
                for name, view in views.items() if name != 'sup'
            })
        unlabeled = any(name.startswith('unsup') for name in views)
        if self.needs_unlabeled and not unlabeled:
            terms = [k for k, t in self.terms.items() if t.unlabeled]
            raise ValueError(
                f'The terms {terms} need unlabelled images, but the batch '
                f'has only the branches {sorted(views)}. Give SemiSegDataset '
                'an `unlabeled` source and SemiSampler a count for it, or '
                'remove these terms.')
        return Step(
            iteration=self.iteration,
            total_iters=self.known_total_iters(),
            part=self._part,
            accumulate=self.accumulate,
            generator=torch.Generator(device).manual_seed(seeds['method']),
            random=Random(seeds['method']),
            common=Random(seeds['common']),
            semi=self.needs_unlabeled and self.iteration >= self.burn_in,
            views=views,
            originals=dict(views))

    def known_total_iters(self) -> int:
        """Length of the training in iterations, known once it begins."""
        if self.total_iters is None:
            self.total_iters = MessageHub.get_current_instance().get_info(
                'max_iters', None)
        if self.total_iters is None:
            raise RuntimeError(
                'The length of the training is not known: set '
                '`model.total_iters`, or train with a runner whose loop '
                'counts iterations (SemiIterBasedTrainLoop).')
        return self.total_iters

    def schedule(self, step: Step) -> List[Pass]:
        """The step's passes: the framework's, then the terms', merged."""
        passes = list(self.passes(step))
        for term in self.terms.values():
            passes += term.passes(self, step)
        return merge_passes(
            replace(
                item,
                features=item.features.union(*(t.features(item.role, step)
                                               for t in self.terms.values())))
            for item in passes)

    def run(self, step: Step, item: Pass) -> None:
        """Run one pass into ``step.outs``."""
        views = [step.views[name] for name in item.views]
        outs = self.adapter.forward(self.net(item.net), views, item)
        for name, out in zip(item.outputs, outs):
            for key in (item.name, *item.aliases):
                step.outs[key, name] = out
            if item.role == 'learner':
                step.learned[item.net, name] = item.name

    @torch.no_grad()
    def pseudo_labels(self, out: Out, view: View) -> LabelMaps:
        """Hard pseudo-labels of one view at image size.

        Args:
            out (Out): The labelling pass on this view.
            view (View): Padding gets label 255 and confidence 0.

        Returns:
            dict[str, Tensor]: ``cls``, ``conf``, ``valid`` and the maps the
            terms asked for.
        """
        wanted = {
            name
            for term in self.terms.values()
            for name in term.label_maps()
        }
        logits = out.at(view.size)
        cls, conf, entropy = predictions(logits, entropy='entropy' in wanted)
        if out.unnormalized:
            conf = logits.amax(dim=1).exp().clamp_max(1.)
        if out.threshold is not None:  # one sigmoid channel
            cls = (logits.softmax(dim=1)[:, 1] > out.threshold).long()
        labels = dict(
            cls=cls.masked_fill(~view.valid, 255),
            conf=conf * view.valid,
            valid=view.valid)
        if entropy is not None:
            labels['entropy'] = entropy
        if 'prob' in wanted:
            labels['prob'] = logits.softmax(dim=1)
        if 'proto' in wanted:
            labels['proto'] = out.prototype_map(view.size)
        return labels

    def _named(self, name: str, losses: dict) -> dict:
        """Tell apart the entries of several networks or terms of a kind."""
        term = self.terms[name]
        prefix = '' if len(self.learners) == 1 else f'{term.net}.'
        if (term.net, term.name) in self._twins:
            prefix += name.split('@')[0] + '.'
        return {f'{prefix}{entry}': value for entry, value in losses.items()}


def make_view(image: Tensor, samples: list) -> View:
    """Collect the tensors of a branch.

    Pixels that the preprocessor added to reach its training size are not
    valid, whatever the sample says about the rest.
    """
    height, width = image.shape[-2:]
    labels = None
    if 'gt_sem_seg' in samples[0]:
        labels = torch.stack([s.gt_sem_seg.data[0] for s in samples]).long()
    if 'valid_map' in samples[0]:
        maps = [s.valid_map.data[0] for s in samples]
        valid = torch.stack([
            F.pad(
                m,
                (0, width - m.shape[1], 0,
                 height - m.shape[0]), value=255) if m.shape != (height,
                                                                 width) else m
            for m in maps
        ]).to(image.device) == 0
    else:
        valid = torch.zeros(
            len(image), height, width, dtype=torch.bool, device=image.device)
        for i, sample in enumerate(samples):
            left, right, top, bottom = sample.get('padding_size', [0] * 4)
            valid[i, top:height - bottom, left:width - right] = True
    target = None
    source = [i for i, s in enumerate(samples) if s.get('domain') == 'source']
    if source:
        target = torch.ones_like(valid)
        for i in source:
            target[i] = False
    return View(
        image=image,
        samples=samples,
        valid=valid,
        labels=labels,
        target=target)
