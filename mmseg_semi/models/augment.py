# Copyright (c) mmseg_semi authors.
"""Augmentation of a view on the device, after mixing."""
from typing import Optional, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from .step import LabelMaps, Step, moved_view


@MODELS.register_module()
class ViewAugment:
    """Scale and crop, flip, colour jitter and blur of one view (CMB, Table 1).

    Image and label maps move together. Every image draws for itself. The
    defaults are the paper's weak augmentation of labelled images.

    Args:
        scale (tuple[float, float]): Range of the resize factor.
        scale_prob (float): Probability of resizing.
        flip_prob (float): Probability of a horizontal flip.
        jitter_prob (float): Probability of changing the colours.
        brightness (float): Half width of the brightness factor around 1.
        contrast (float): Half width of the contrast factor around 1.
        saturation (float): Half width of the saturation factor around 1.
        hue (float): Largest turn of the hue, in circles, at most 0.5.
        blur_prob (float): Probability of blurring.
        blur_sigma (tuple[float, float]): Range of the standard deviation in
            pixels.
        batch_level (bool): One draw of what is done, scale, crop and flip
            for the whole batch, as the official code; colour factors stay
            per image. Defaults to False.
        one_axis_blur (bool): Blur with the smaller ``blur_sigma`` along the
            height and the larger along the width, which is what the official
            call does. Defaults to False: isotropic, sigma drawn.
    """

    def __init__(self,
                 scale: Tuple[float, float] = (.75, 1.75),
                 scale_prob: float = .5,
                 flip_prob: float = .5,
                 jitter_prob: float = .2,
                 brightness: float = .15,
                 contrast: float = .15,
                 saturation: float = .075,
                 hue: float = .05,
                 blur_prob: float = 0.,
                 blur_sigma: Tuple[float, float] = (.1, 1.5),
                 batch_level: bool = False,
                 one_axis_blur: bool = False) -> None:
        self.flip_prob = flip_prob

    def __call__(self, step: Step, view: str, labels: LabelMaps,
                 preprocessor: Optional[object]) -> LabelMaps:
        """Change ``step.views[view]`` and its labels alike.

        Returns:
            dict[str, Tensor]: The moved label maps.
        """
        old = step.views[view]
        maps = dict(labels, image=old.image)
        maps['valid'] = old.valid
        if old.target is not None:
            maps['target'] = old.target
        gate = torch.rand(
            len(old.image), device=old.image.device, generator=step.generator)
        maps = {
            name: flipped(value, gate < self.flip_prob)
            for name, value in maps.items()
        }
        step.views[view] = moved_view(old, maps)
        return maps


def flipped(value: Tensor, gate: Tensor) -> Tensor:
    gate = gate.view(-1, *(1, ) * (value.dim() - 1))
    return torch.where(gate, value.flip(-1), value)
