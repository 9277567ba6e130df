# Copyright (c) mmseg_semi authors.
"""One vector per image from a network's encoder."""
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..analysis.features import find_network


class PooledFeatures:
    """Sums up what the encoder gives while a model predicts an image.

    Attributes:
        total (Tensor): (D, ) sum over the positions of all forward passes.
        count (int): Positions.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last image."""
        self.total, self.count = None, 0

    def take(self) -> np.ndarray:
        """The mean, (D, ) float32 of length 1; the next image begins."""
        mean = (self.total / self.count).cpu().numpy()
        self.reset()
        return (mean / max(np.linalg.norm(mean), 1e-12)).astype(np.float32)

    def add(self, output) -> None:
        """Take what a backbone returned; of several stages the last one.

        Raises:
            ValueError: It is neither (B, D, h, w) nor (B, tokens, D).
        """
        while isinstance(output, (list, tuple, dict)):
            values = output.values() if isinstance(output, dict) else output
            output = list(values)[-1]
        if not isinstance(output, Tensor) or output.dim() not in (3, 4):
            raise ValueError(
                'The last stage of the backbone is no feature map: choose by '
                'uncertainty or balance (--by uncertainty).')
        if output.dim() == 4:
            output = output.flatten(2).transpose(1, 2)
        pixels = output.detach().double().flatten(0, 1)
        total = pixels.sum(0)
        self.total = total if self.total is None else self.total + total
        self.count += len(pixels)


@contextmanager
def pooled_features(model: nn.Module) -> Iterator[PooledFeatures]:
    """Listen to the encoder of the network that predicts.

    Args:
        model (nn.Module): Any segmentor.

    Yields:
        PooledFeatures: To be asked after every image.

    Raises:
        ValueError: The network has no ``backbone``.
    """
    network = find_network(model)[1]
    if not isinstance(getattr(network, 'backbone', None), nn.Module):
        raise ValueError(
            f'{type(network).__name__} has no backbone whose features could '
            'be compared: choose by uncertainty or balance.')
    pooled = PooledFeatures()
    hook = network.backbone.register_forward_hook(
        lambda module, inputs, output: pooled.add(output))
    try:
        with torch.no_grad():
            yield pooled
    finally:
        hook.remove()
