# Copyright (c) mmseg_semi authors.
"""A term: one loss of a training step, with the state and heads it owns."""
from inspect import signature
from typing import (Any, Callable, Dict, Iterable, List, Optional, Sequence,
                    Tuple, Type)

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..state import reduced, register_state
from ..step import Pass, Step
from .needs import check_needs
from .training_plan import TrainingPlan
from .views import check_views, chosen_views


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
        reads_views: Learns from strong views, which ``views`` may choose.
        queries: Works on a head with queries, True: that say their class,
            False: that are prototypes. None, the default, on any head.
        replaces: Names of terms that must not stand beside it.
        presets: ``fidelity`` -> constructor arguments; explicit arguments
            win. ``paper`` is the default, ``official`` the mechanics of the
            authors' code where it differs.

    Args:
        net (str): The learning network it acts on.
        num_classes (int): C.
        widths (Callable, optional): Channels of a feature tap of that
            network, by its name, see :meth:`sized_head`.
        views (sequence[str] | str, optional): Views it learns from;
            "strong" are all ``unsup_student*``, None is every one that the
            network learns with a pseudo-label.
    """
    name = ''
    unlabeled = False
    reads_views = False
    queries: Optional[bool] = None
    replaces: Tuple[str, ...] = ()
    presets: Dict[str, dict] = dict(paper={}, official={})

    def __init__(self,
                 net: str,
                 num_classes: int,
                 widths: Optional[Callable[[str], int]] = None,
                 views: Optional[Sequence[str]] = None) -> None:
        super().__init__()
        if views is not None and not self.reads_views:
            raise ValueError(f'{type(self).__name__} reads no views that '
                             f'could be chosen: remove views={views!r}.')
        check_views(self.name, views)
        self.net, self.num_classes, self.views = net, num_classes, views
        self.head_cfg: Optional[dict] = None
        self._widths = widths
        self._head: List[nn.Module] = []
        self._settled: Dict[str, Any] = {}
        self._seen: Dict[str, Any] = {}
        self.register_load_state_dict_post_hook(self._forget_seen)

    @property
    def confidence_threshold(self) -> Optional[float]:
        """Confidence from which it learns pixels' pseudo-labels; None if it
        does not choose them so."""
        return None

    # -------------------------------------------------- when it is built

    def needs(self) -> Dict[str, str]:
        """What the framework must offer, each with what to do without it.

        Names of :data:`~.needs.NEEDS`: ``teacher``, ``mixed_pass`` (the
        teacher in train mode on what the student sees) and ``weak_labels``
        (pseudo-labels of the images before they are mixed).
        """
        return {}

    def check(self, framework) -> None:
        """Refuse a framework that lacks what the term needs."""
        check_needs(self, framework)

    def heads(self) -> Dict[str, dict]:
        """Heads it owns, by name; one copy is built inside each network."""
        return {self.name: self.head_cfg} if self.head_cfg else {}

    def sized_head(self, head: dict, kind: str) -> dict:
        """The config of a head with the width of the feature it reads.

        Args:
            head (dict): Its options. ``in_channels`` may be missing if the
                term knows the ``widths`` of the network.
            kind (str): Type of the head, unless ``head`` names one.

        Returns:
            dict: With ``type`` and ``in_channels``.

        Raises:
            ValueError: ``in_channels`` is not the width of the tap, or
                missing and not known.
        """
        head = {'type': kind, **head}
        given, term = head.get('in_channels'), type(self).__name__
        if self._widths is None:
            if given is None:
                raise ValueError(
                    f'{term}: `head.in_channels` is missing, and there is no '
                    'network that could tell: give the channels of the '
                    'tapped feature.')
            return head
        options = signature(MODELS.get(head['type'])).parameters
        tap = head.get('tap', options['tap'].default)
        width = self._widths(tap)
        if given not in (None, width):
            raise ValueError(
                f'{term}: head.in_channels={given}, but the feature tapped '
                f'as {tap!r} has {width} channels: leave in_channels out, or '
                'choose another head.tap.')
        return dict(head, in_channels=width)

    def bind(self, net: nn.Module) -> None:
        """Called once with the learning network, heads in place.

        The network must not become a submodule of the term; its head is kept
        in a list, which hides it from the term's own parameters and state.
        """
        self._head = [net.semi_heads[name] for name in self.heads()]

    @property
    def head(self) -> nn.Module:
        """The head it owns inside the learning network."""
        return self._head[0]

    def register_state(self,
                       name: str,
                       value: Tensor,
                       over_ranks: str,
                       resizable: bool = False) -> None:
        """See :func:`mmseg_semi.models.state.register_state`."""
        register_state(self, name, value, over_ranks, resizable)

    def reduced(self, name: str, update: Tensor) -> Tensor:
        """An update of its state over all processes, see
        :func:`mmseg_semi.models.state.reduced`."""
        return reduced(self, name, update)

    # ------------------------------------------- before a training begins

    def plan(self, training: TrainingPlan) -> None:
        """Settle options that were not given and follow from its length.

        Called once, before a checkpoint is loaded: state whose shape depends
        on such an option gets it here.
        """

    def settle(self, **values) -> None:
        """What options that were not given are in this training."""
        self._settled.update(values)

    def option(self, name: str) -> Any:
        """An option as given or, if it is None, as settled.

        Raises:
            RuntimeError: Neither, because no training has begun.
        """
        given = getattr(self, name)
        if given is not None:
            return given
        if name not in self._settled:
            raise RuntimeError(
                f'{type(self).__name__}: `{name}` was not given and follows '
                'from the length of the training, which is not known: give '
                'it, train with SemiIterBasedTrainLoop, or call '
                'model.plan_training(TrainingPlan(...)).')
        return self._settled[name]

    # --------------------------------------------------------- in a step

    def once(self, name: str, look: Callable[[], Any]) -> Any:
        """What ``look`` finds, which is called once: it waits for the device.

        Loading state forgets it.
        """
        if name not in self._seen:
            self._seen[name] = look()
        return self._seen[name]

    @staticmethod
    def _forget_seen(module, incompatible_keys) -> None:
        module._seen.clear()

    def chosen_views(self, step: Step, labeled: bool = False) -> List[str]:
        """The views it learns from in this step, see ``views``.

        Args:
            step (Step): Its passes are done.
            labeled (bool): The labelled images too, where the framework has
                pseudo-labels of them (CPS without mixing). Defaults to
                False.
        """
        return chosen_views(self.name, step, self.net, self.views, labeled)

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


def term_class(cfg: dict) -> Type[Term]:
    """The class that a term's config names.

    Raises:
        ValueError: It names none.
        KeyError: It names something else.
    """
    if 'type' not in cfg:
        raise ValueError(f'A loss term has the options {dict(cfg)} and no '
                         'type. Is its name in model.terms misspelt?')
    kind = cfg['type']
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if cls is None or not issubclass(cls, Term):
        raise KeyError(f'{kind!r} is not a registered loss term.')
    return cls


def build_term(cfg: dict,
               net: str,
               num_classes: int,
               fidelity: str,
               widths: Optional[Callable[[str], int]] = None) -> Term:
    """Build a term from its config.

    Args:
        cfg (dict): ``type`` and options; its own ``fidelity`` wins.
        net (str): Learning network.
        num_classes (int): C.
        fidelity (str): ``paper`` or ``official``.
        widths (Callable, optional): Channels of the network's feature taps.

    Returns:
        Term: Built with ``presets[fidelity]`` under the explicit options.
    """
    cfg = dict(cfg)
    fidelity = cfg.pop('fidelity', fidelity)
    cls = term_class(cfg)
    if fidelity not in cls.presets:
        raise ValueError(f'fidelity {fidelity!r} is unknown to '
                         f'{cls.__name__}: use one of {sorted(cls.presets)}.')
    options = {**cls.presets[fidelity], **cfg}
    term = MODELS.build(
        dict(options, net=net, num_classes=num_classes, widths=widths))
    term._widths = None  # it may hold a network
    return term


def idle(module: nn.Module) -> Tensor:
    """An exact zero that keeps a head which sat out this step in the graph.

    DDP expects a gradient for every parameter; the gradient is zero, so only
    weight decay acts on the head, as in the official BRPG code.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return sum((t.float().sum() * 0. for t in tensors if t.requires_grad),
               torch.zeros((), device=tensors[0].device))
