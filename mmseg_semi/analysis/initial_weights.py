# Copyright (c) mmseg_semi authors.
"""The weights a decoder starts from, beside the law they are drawn by."""
from dataclasses import asdict, dataclass
from typing import Iterator, List, Optional, Tuple

from torch import Tensor, nn

from ..models.decode_heads.initial_weights import WEIGHTED, law_std

ENCODER = ('backbone', 'neck', 'data_preprocessor')


@dataclass
class InitialWeights:
    """One tensor of a layer."""
    name: str
    """Of the parameter, relative to the network."""
    shape: Tuple[int, ...]
    std: float
    """Measured: the root of the mean square, as the laws' mean is 0."""
    law: Optional[str] = None
    """The law; None if none is known."""
    law_std: Optional[float] = None
    """What the law gives."""

    @property
    def ratio(self) -> Optional[float]:
        """Measured by the law; None without a law and for a law of zeros."""
        return self.std / self.law_std if self.law_std else None

    def entry(self) -> dict:
        """For a JSON file."""
        return dict(asdict(self), ratio=self.ratio)


def measure_initial_weights(net: nn.Module,
                            law: Optional[str] = None) -> List[InitialWeights]:
    """Compare all convolutions and linear layers outside the encoder.

    Args:
        net (nn.Module): A segmentor, freshly initialised; the heads of terms
            inside it are compared too.
        law (str, optional): See :class:`DrawnWeights`. None takes the
            ``init`` of the head that a layer is in; layers of other heads
            have no law.

    Returns:
        list[InitialWeights]: Weights and biases, in the network's order.
    """
    found = []
    for name, layer, init in _layers(net, '', law):
        if name.split('.')[0] in ENCODER:
            continue
        expected = law_std(layer, init) if init else (None, None)
        for end, std in zip(('weight', 'bias'), expected):
            value: Optional[Tensor] = getattr(layer, end)
            if value is not None:
                found.append(
                    InitialWeights(
                        f'{name}.{end}', tuple(value.shape),
                        value.detach().square().mean().sqrt().item(), init,
                        std))
    return found


def _layers(module: nn.Module, name: str,
            init: Optional[str]) -> Iterator[tuple]:
    """Layers with their names and the law of the head they are in."""
    init = init or getattr(module, 'init', None)
    if isinstance(module, WEIGHTED):
        yield name, module, init
    for end, child in module.named_children():
        yield from _layers(child, f'{name}.{end}' if name else end, init)
