# Copyright (c) mmseg_semi authors.
"""A method's training step against the network passes in it.

Definitions: docs/benchmark_step.md.
"""
import gc
from statistics import median, quantiles

import torch
import torch.nn.functional as F
from mmseg.models.utils import resize

from ..models.step import Pass
from .step_timing import replaced

STEPS = ('bare', 'full', 'supervised')
PASSES = ('forward', 'backward', 'optimizer')  # phases of all three


def find_stages(model) -> dict:
    """First iteration of every kind of step, by a name for it."""
    terms = [term.stages() for term in model.terms.values()]
    starts = {0, model.burn_in}.union(*(term.values() for term in terms))
    stages = {}
    for first in sorted(s for s in starts if s < model.total_iters):
        names = ['burn-in'] if first < model.burn_in else []
        for term in terms:
            names += [name for name, start in term.items()
                      if start <= first][-1:]
        stages.setdefault(', '.join(names) or 'training', first)
    return stages


class GivenGradient(torch.autograd.Function):
    """A zero that sends a given gradient to its input."""

    @staticmethod
    def forward(ctx, value, gradient):
        ctx.save_for_backward(gradient)
        return value.new_zeros(())

    @staticmethod
    def backward(ctx, scale):
        return ctx.saved_tensors[0] * scale, None


class StepBenchmark:
    """The three steps of one model on one batch.

    Args:
        model (Framework): On ``device``.
        batch (dict): ``inputs`` and ``data_samples`` by branch.
        optim_wrapper (OptimWrapper): Of the model.
        timer (StepTimer): Told about the phases.
    """

    def __init__(self, model, batch: dict, optim_wrapper, timer) -> None:
        self.model, self.batch = model, batch
        self.optim_wrapper, self.timer = optim_wrapper, timer

    def enter(self, iteration: int) -> None:
        """Take a first step at ``iteration`` and note what it runs.

        From it the bare step gets passes, mixed views, labels, and the
        gradients of the features that the method's losses reach.
        """
        self.iteration = iteration
        model, passes, features, kept = self.model, [], {}, {}
        begin, run = model.begin, model.run

        def keep_step(*args):
            kept['step'] = begin(*args)
            return kept['step']

        def keep_outputs(step, item):
            run(step, item)
            passes.append(item)
            for view in item.views:
                for name, value in step.outs[item.name, view].features.items():
                    if value.requires_grad:
                        value.retain_grad()
                        features[item.name, view, name] = value

        with replaced(model, 'begin', keep_step), \
                replaced(model, 'run', keep_outputs):
            self.full()
        step = kept['step']
        self.passes, self.views = passes, step.views
        self.targets = {}
        for (net, view), name in step.learned.items():
            labels = step.views[view].labels
            if labels is None and (net, view) in step.labels:
                labels = step.labels[net, view]['cls']
            if labels is not None:
                self.targets[name, view] = labels
        self.gradients = {
            key: value.grad
            for key, value in features.items() if value.grad is not None
        }

    def full(self) -> None:
        """(b) The method's training step."""
        model = self.model
        model.iteration = self.iteration
        with self.optim_wrapper.optim_context(model):
            losses = model.loss(**self.batch)
        total, _ = model.parse_losses(losses)
        self._learn(total)
        if hasattr(model, 'update_teacher'):
            model.update_teacher()

    def bare(self) -> None:
        """(a) The network passes of the same step."""
        self._passes(self.passes)

    def supervised(self) -> None:
        """(c) The labelled images alone."""
        net = self.model.learners[0]
        self._passes([Pass('sup', net, ('sup', ), role='learner', grad=True)],
                     {('sup', 'sup'): self.views['sup'].labels})

    def _passes(self, passes, targets=None) -> None:
        """Run passes, cross entropies against ``targets``, backward, step."""
        model = self.model
        targets = self.targets if targets is None else targets
        total = 0
        with self.optim_wrapper.optim_context(model):
            for item in passes:
                views = [self.views[name] for name in item.views]
                with self.timer.phase('forward'):
                    outs = model.adapter.forward(
                        model.net(item.net), views, item)
                with self.timer.phase('cross entropy'):
                    for view, out in zip(item.views, outs):
                        if (item.name, view) in targets:
                            total = total + self._loss(
                                out, targets[item.name, view], view)
                        total = total + self._feature_loss(item, view, out)
        self._learn(total)

    def _loss(self, out, target, view):
        maps = [out.at(target.shape[-2:])]
        if view == 'sup':
            maps += [
                resize(m, target.shape[-2:], None, 'bilinear',
                       out.align_corners) for m in out.aux
            ]
        return sum(F.cross_entropy(m, target, ignore_index=255) for m in maps)

    def _feature_loss(self, item, view, out):
        return sum(
            GivenGradient.apply(value, self.gradients[item.name, view, name])
            for name, value in out.features.items()
            if (item.name, view, name) in self.gradients)

    def _learn(self, total) -> None:
        with self.timer.phase('backward'):
            self.optim_wrapper.backward(total)
        with self.timer.phase('optimizer'):
            self.optim_wrapper.step()
            self.optim_wrapper.zero_grad()

    def measure(self, iters: int) -> dict:
        """Seconds by phase of every step, ``iters`` times in turns."""
        runs = {name: [] for name in STEPS}
        for i in range(iters + 1):
            order = STEPS if i % 2 else STEPS[::-1]
            gc.collect()
            for name in order:
                seconds = self.timer.measure(getattr(self, name))
                if i:  # the first round warms up
                    runs[name].append(seconds)
        return runs


def summarize(runs: dict) -> dict:
    """Medians in milliseconds, and the own share over the pairs.

    Args:
        runs (dict[str, list[dict]]): Seconds by phase, of every step.
    """
    totals = {
        name: [sum(run.values()) for run in runs[name]]
        for name in STEPS
    }
    shares = [(b - a) / a for a, b in zip(totals['bare'], totals['full'])]
    low, _, high = quantiles(shares, n=4)
    result = dict(
        own_share=median(shares),
        own_share_quartiles=[low, high],
        **{f'{name}_ms': 1e3 * median(totals[name])
           for name in STEPS})
    names = {
        name
        for step in ('full', 'bare')
        for run in runs[step]
        for name in run
    }
    phases = {}
    for name in names:
        full, bare = (1e3 * median(run.get(name, 0.) for run in runs[step])
                      for step in ('full', 'bare'))
        phases[name] = dict(
            full_ms=full,
            bare_ms=bare,
            own_share=(full - bare) / result['bare_ms'])
    order = sorted(phases, key=lambda name: -phases[name]['full_ms'])
    result['phases'] = {name: phases[name] for name in order}
    result['outside_passes'] = sum(row['own_share']
                                   for name, row in phases.items()
                                   if name not in PASSES)
    return result
