# Copyright (c) mmseg_semi authors.
"""Feature taps: read inner features of any network by a logical name."""
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator

from torch import Tensor, nn

from .head_adapters import scoring_stage, taps_of


def resolve_tap(net: nn.Module, name: str) -> str:
    """Translate a tap name into ``module:input|output[:call]``.

    Args:
        net (nn.Module): A segmentor with a ``decode_head``.
        name (str): A logical name of the head's
            (:meth:`~.head_adapters.HeadAdapter.taps`), as ``decoder`` and
            ``pre_cls``, or an explicit ``module.path:input|output[:call]``
            relative to the segmentor.

    Returns:
        str: The explicit form.

    Raises:
        KeyError: The head has no such tap.
    """
    if ':' in name:
        return name
    path, stage = scoring_stage(net)
    taps = taps_of(stage)
    if name in taps:
        return f'{path}.{taps[name]}'
    raise KeyError(
        f'Feature tap {name!r} is not known for {type(stage.head).__name__}, '
        f'which has {sorted(taps)}. Give it as "module.path:input" or '
        f'"module.path:output", for example "{path}.fusion_conv:output"; '
        f'modules: {sorted(n for n, _ in stage.head.named_children())}.')


class _Tap:
    """Forward hook that hands one tensor to its recorder."""

    def __init__(self, recorder: 'TapRecorder', name: str, spec: str) -> None:
        _, self.side, *call = spec.split(':')
        self.recorder, self.name = recorder, name
        self.wanted_call = int(call[0]) if call else None
        self.calls = 0

    def __call__(self, module, args, output) -> None:
        if self.name not in self.recorder.open:
            return
        if self.wanted_call in (None, self.calls):
            self.recorder.record(self.name,
                                 args[0] if self.side == 'input' else output)
        self.calls += 1


class TapRecorder:
    """The taps of one network.

    Hooks are installed once, before DDP or ``torch.compile`` wrap the
    network (hooks added later never fire there), and record only inside
    :meth:`capture`. The recorder is an attribute of its network, so
    ``deepcopy`` of the network (the teacher) brings its own hooks and its
    own recorder.

    Example:
        >>> net.taps = TapRecorder(net, ['decoder'])
        >>> with net.taps.capture(['decoder'], grad=True) as tapped:
        ...     net.decode_head(net.extract_feat(images))
        >>> tapped['decoder'].shape
    """

    def __init__(self, net: nn.Module, names: Iterable[str]) -> None:
        self.open: Dict[str, None] = {}
        self.recorded: Dict[str, Tensor] = {}
        self.taps = {}
        for name in sorted(set(names)):
            spec = resolve_tap(net, name)
            path, side = spec.split(':')[:2]
            modules = dict(net.named_modules())
            if path not in modules or side not in ('input', 'output'):
                raise KeyError(
                    f'Feature tap {spec!r}: {type(net).__name__} has no '
                    f'module {path!r} or the side is neither "input" nor '
                    '"output".')
            self.taps[name] = _Tap(self, name, spec)
            modules[path].register_forward_hook(self.taps[name])

    def record(self, name: str, value: Tensor) -> None:
        if name in self.recorded:
            raise RuntimeError(
                f'Feature tap {name!r} was recorded twice in one forward: '
                'its module is called several times. Name the call, as in '
                '"module.path:output:0".')
        self.recorded[name] = value

    @contextmanager
    def capture(self, names: Iterable[str],
                grad: bool) -> Iterator[Dict[str, Tensor]]:
        """Record ``names`` during the ``with`` block.

        Args:
            names (Iterable[str]): Taps given at construction.
            grad (bool): The recorded tensors must carry a graph.

        Raises:
            RuntimeError: A tap was not reached, was reached twice, or lost
                its graph (reentrant activation checkpointing does that).
        """
        self.recorded, self.open = {}, dict.fromkeys(names)
        for name in self.open:
            self.taps[name].calls = 0
        recorded = self.recorded
        try:
            yield recorded
        finally:
            self.recorded, self.open = {}, {}
        for name in names:
            if name not in recorded:
                raise RuntimeError(
                    f'Feature tap {name!r} was not reached in the forward: '
                    'its module was not called.')
            if grad and not recorded[name].requires_grad:
                raise RuntimeError(
                    f'Feature tap {name!r} carries no graph although this '
                    'pass is trained. Reentrant activation checkpointing '
                    '(with_cp=True) drops it: switch with_cp off.')
