# Copyright (c) mmseg_semi authors.
"""A term: one loss of a training step, with the state and heads it owns."""
from typing import Dict, Iterable, List, Optional, Tuple

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..step import Pass, Step


class Term(BaseModule):
    """Base class of all losses, supervised CE included.

    A term reads the finished :class:`Step`; it never calls a network. Its
    life in a step is :meth:`on_labels`, :meth:`update_before`, :meth:`loss`,
    :meth:`update_after`. The ``update_*`` calls may be collective across
    ranks, so whether they communicate depends on the iteration alone, never
    on the data.

    Class attributes:
        name: Prefix of its loss and log entries.
        unlabeled: Needs unlabelled images in every batch.
        replaces: Names of terms that must not stand beside it.
        presets: ``fidelity`` -> constructor arguments; explicit arguments
            win. ``paper`` is the default, ``official`` the mechanics of the
            authors' code where it differs.

    Args:
        net (str): The learning network it acts on.
        num_classes (int): C.
    """
    name = ''
    unlabeled = False
    replaces: Tuple[str, ...] = ()
    presets: Dict[str, dict] = dict(paper={}, official={})

    def __init__(self, net: str, num_classes: int) -> None:
        super().__init__()
        self.net, self.num_classes = net, num_classes

    def heads(self) -> Dict[str, dict]:
        """Heads it owns, by name; one copy is built inside each network."""
        return {}

    def check(self, framework) -> None:
        """Refuse a framework that lacks what the term needs."""

    def bind(self, net: nn.Module) -> None:
        """Called once with the learning network, heads in place.

        The network must not become a submodule of the term.
        """

    def taps(self) -> Iterable[str]:
        """Every tap it may read besides those of its heads."""
        return ()

    def stages(self) -> Dict[str, int]:
        """First iteration of each kind of step it takes, in order."""
        return {}

    def local_rules(self) -> List[str]:
        """What it computes from the images of one batch of one process.

        Its words tell the user what is not the same on another number of
        GPUs. Means over all processes are.
        """
        return []

    def batch_rules(self) -> List[str]:
        """What it computes from one batch of all processes.

        That is not the same where several batches make an iteration.
        """
        return []

    def features(self, role: str, step: Step) -> Iterable[str]:
        """Taps and heads it reads from passes of this role in this step."""
        return ()

    def label_maps(self) -> Iterable[str]:
        """Label maps it needs besides ``cls``, ``conf`` and ``valid``."""
        return ()

    def passes(self, framework, step: Step) -> List[Pass]:
        """Passes it needs besides the framework's, run after those."""
        return []

    def on_labels(self, step: Step) -> None:
        """Class statistics; may change weights that other terms read."""

    def update_before(self, step: Step) -> None:
        """State that this step's loss shall already see (banks)."""

    def loss(self, step: Step) -> Dict[str, Tensor]:
        """The loss entries, each a scalar whose name contains ``loss``."""
        raise NotImplementedError

    def update_after(self, step: Step) -> None:
        """State that the loss used in its old form (prototypes)."""


class IterationSums:
    """Sums over the batches of an iteration.

    No parameter moves before its last batch, so an average that moves by
    these sums moves as by a single batch with all images.
    """

    def __init__(self) -> None:
        self._sums: Optional[Tuple[Tensor, ...]] = None

    def add(self, step: Step, *sums: Tensor) -> Optional[Tuple[Tensor, ...]]:
        """Add those of a batch.

        Args:
            step (Step): The batch's.
            *sums (Tensor): Each of the same shape in every batch.

        Returns:
            tuple[Tensor, ...] or None: Those of the iteration; None before
            its last batch.
        """
        if step.part:
            sums = tuple(map(torch.add, self._sums, sums))
        last = step.part == step.accumulate - 1
        self._sums = None if last else sums
        return sums if last else None


def build_term(cfg: dict, net: str, num_classes: int, fidelity: str,
               widths=None) -> Term:
    """Build a term from its config.

    Args:
        cfg (dict): ``type`` and options; its own ``fidelity`` wins.
        net (str): Learning network.
        num_classes (int): C.
        fidelity (str): ``paper`` or ``official``.

    Returns:
        Term: Built with ``presets[fidelity]`` under the explicit options.
    """
    cfg = dict(cfg)
    fidelity = cfg.pop('fidelity', fidelity)
    if 'type' not in cfg:
        raise ValueError(f'A loss term has the options {cfg} and no type. Is '
                         'its name in model.terms misspelt?')
    cls = MODELS.get(cfg['type'])
    if cls is None or not issubclass(cls, Term):
        raise KeyError(f'{cfg["type"]!r} is not a registered loss term.')
    if fidelity not in cls.presets:
        raise ValueError(f'fidelity {fidelity!r} is unknown to '
                         f'{cls.__name__}: use one of {sorted(cls.presets)}.')
    options = {**cls.presets[fidelity], **cfg}
    return MODELS.build(dict(options, net=net, num_classes=num_classes))


def idle(module: nn.Module) -> Tensor:
    """An exact zero that keeps a head which sat out this step in the graph.

    DDP expects a gradient for every parameter; the gradient is zero, so only
    weight decay acts on the head, as in the official BRPG code.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return sum((t.float().sum() * 0. for t in tensors if t.requires_grad),
               torch.zeros((), device=tensors[0].device))
