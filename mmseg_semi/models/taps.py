# Copyright (c) mmseg_semi authors.
"""Feature taps: read inner features of any network by a logical name."""
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator

from torch import Tensor, nn

# What a logical name means per decode head. ``decoder`` is the map the
# classification block reads (Z in the BRPG and PCR papers); ``pre_cls`` is
# what the last 1x1 classifier reads, before Dropout2d.
HEAD_TAPS = {
    'PublishedDeepLabV3PlusHead': {
        'decoder': 'decode_head.fuse:output',
        'pre_cls': 'decode_head.classifier:output',
    },
    'CMBDeepLabV3PlusHead': {
        'decoder': 'decode_head.fuse:output',
        'pre_cls': 'decode_head.classifier:output',
    },
    'DeepLabV2Head': {
        'decoder': 'decode_head.conv2d_list.0:input',
        'pre_cls': 'decode_head.conv2d_list.0:input',
    },
    'DepthwiseSeparableASPPHead': {
        'decoder': 'decode_head.sep_bottleneck:input',
    },
    # The per-pixel embedding, and the mask embeddings of the last layer.
    'MaskQueryHead': {
        'decoder': 'decode_head.pixel_embed:output',
        'pre_cls': 'decode_head.pixel_embed:output',
        'pixel_embed': 'decode_head.pixel_embed:output',
        'queries': 'decode_head.queries:output',
    },
}


def resolve_tap(net: nn.Module, name: str) -> str:
    """Translate a tap name into ``module:input|output[:call]``.

    Args:
        net (nn.Module): A segmentor with a ``decode_head``.
        name (str): ``decoder``, ``pre_cls`` or an explicit
            ``module.path:input|output[:call]`` relative to the segmentor.

    Returns:
        str: The explicit form.
    """
    if ':' in name:
        return name
    prefix, head = 'decode_head', net.decode_head
    if isinstance(head, nn.ModuleList):
        prefix, head = f'decode_head.{len(head) - 1}', head[-1]
    known = HEAD_TAPS.get(type(head).__name__, {})
    if name in known:
        return known[name]
    if name in ('decoder', 'pre_cls') and hasattr(head, 'conv_seg'):
        # A head that classifies with one 1x1 conv reads its decoder's map.
        before = 'conv_seg' if head.dropout is None else 'dropout'
        return f'{prefix}.{before}:input'
    raise KeyError(
        f'Feature tap {name!r} is not known for {type(head).__name__}. Give '
        'it as "module.path:input" or "module.path:output", for example '
        '"decode_head.fusion_conv:output"; modules: '
        f'{sorted(n for n, _ in head.named_children())}.')


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
