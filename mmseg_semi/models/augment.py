# Copyright (c) mmseg_semi authors.
"""Augmentation of a view on the device, after mixing."""
from dataclasses import dataclass
from typing import Callable, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..datasets.transforms.channels import say_skipped
from ..functional import (COLOR_LAWS, COLOUR_CHANGES, draw_placements,
                          gaussian_blur, place)
from .mixing import CUTOUT_FILL
from .step import LabelMaps, Step, moved_view


@dataclass(frozen=True)
class PixelFormat:
    """How a preprocessor turned raw pixels, 0 to 255, into network input.

    Args:
        mean (Tensor): (C, 1, 1), subtracted.
        std (Tensor): (C, 1, 1), then divided by.
        rgb (bool): Three channels are red, green, blue; otherwise blue,
            green, red. Any other number of them is no colours.
    """
    mean: Tensor
    std: Tensor
    rgb: bool

    @classmethod
    def of(cls, preprocessor: nn.Module, like: Tensor) -> 'PixelFormat':
        """Read a :class:`SegDataPreProcessor`; images are loaded as BGR.

        Args:
            preprocessor (nn.Module): What made the images.
            like (Tensor): A batch of images (B, C, H, W), for the number of
                bands, dtype and device.
        """
        shape = like.shape[-3], 1, 1
        mean, std = like.new_zeros(shape), like.new_ones(shape)
        if preprocessor._enable_normalize:
            mean, std = preprocessor.mean.to(mean), preprocessor.std.to(std)
        return cls(mean, std, preprocessor.channel_conversion)

    @staticmethod
    def check(preprocessor: nn.Module) -> None:
        """Refuse a preprocessor that does not say what it does to pixels.

        Raises:
            TypeError: Names it and what it must have.
        """
        missing = [
            name for name in ('_enable_normalize', 'channel_conversion')
            if not hasattr(preprocessor, name)
        ]
        if missing:
            raise TypeError(
                f'`augment` changes the colours of normalised images, but '
                f'{type(preprocessor).__name__} does not say how it '
                f'normalises (it has no {" and ".join(missing)}): derive it '
                'from SegDataPreProcessor, or leave `augment` out.')

    def normalized(self, raw: Tensor) -> Tensor:
        return (raw - self.mean) / self.std

    def colors(self, images: Tensor) -> Tensor:
        """RGB, or other bands, in [0, 1] of normalised (B, C, H, W)."""
        colors = ((images * self.std + self.mean) / 255).clamp(0, 1)
        return colors if self.in_order else colors.flip(1)

    def from_colors(self, colors: Tensor) -> Tensor:
        """The inverse of :meth:`colors`."""
        return self.normalized(
            (colors if self.in_order else colors.flip(1)) * 255)

    @property
    def in_order(self) -> bool:
        """Whether the channels are as colour changes take them."""
        return self.rgb or not self.colours

    @property
    def colours(self) -> bool:
        """Whether the channels are colours."""
        return len(self.mean) == 3


@MODELS.register_module()
class ViewAugment:
    """Scale and crop, flip, colour jitter and blur of one view (CMB, Table 1).

    Image and label maps move together. Every image draws for itself. The
    defaults are the paper's weak augmentation of labelled images. For images
    of other than three bands, saturation and hue are left out, which is said
    once; brightness and contrast change all bands by one factor.

    Args:
        scale (tuple[float, float]): Range of the resize factor.
        scale_prob (float): Probability of resizing.
        flip_prob (float): Probability of a horizontal flip.
        jitter_prob (float): Probability of changing the colours.
        brightness (float): Half width of the brightness factor around 1.
        contrast (float): Half width of the contrast factor around 1.
        saturation (float): Half width of the saturation factor around 1.
        hue (float): Largest turn of the hue, in circles, at most 0.5.
        color_law (str): What these four do, see :data:`COLOR_LAWS`.
            ``kornia``: the library of the official code (the paper does not
            define them): brightness is added, contrast multiplies,
            saturation scales S of HSV. ``pil``: the usual definitions, which
            change the image about half as much. Defaults to ``kornia``.
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
                 color_law: str = 'kornia',
                 blur_prob: float = 0.,
                 blur_sigma: Tuple[float, float] = (.1, 1.5),
                 batch_level: bool = False,
                 one_axis_blur: bool = False) -> None:
        chances = (scale_prob, flip_prob, jitter_prob, blur_prob)
        if not all(0 <= chance <= 1 for chance in chances):
            raise ValueError('ViewAugment probabilities must be in [0, 1], '
                             f'got {chances} for scale, flip, jitter, blur.')
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= .5:
            raise ValueError(
                'ViewAugment: brightness, contrast and saturation must be at '
                f'least 0 and hue in [0, 0.5], got {brightness}, {contrast}, '
                f'{saturation}, {hue}.')
        if color_law not in COLOR_LAWS:
            raise ValueError(f'ViewAugment color_law={color_law!r} is not one '
                             f'of {sorted(COLOR_LAWS)}.')
        if color_law == 'kornia' and brightness > 1:
            raise ValueError(f'ViewAugment brightness={brightness}: at most '
                             "1 is added (color_law='kornia').")
        for name, (low, high) in dict(
                scale=scale, blur_sigma=blur_sigma).items():
            if not 0 < low <= high:
                raise ValueError(f'ViewAugment {name} must be a range (low, '
                                 f'high) above 0, got {(low, high)}.')
        self.scale, self.scale_prob = scale, scale_prob
        self.flip_prob, self.jitter_prob = flip_prob, jitter_prob
        self.color_law = color_law
        widths = dict(
            brightness=brightness, contrast=contrast, saturation=saturation)
        self.ranges = {
            name: (max(0, 1 - width), 1 + width)
            for name, width in widths.items()
        }
        self.ranges['hue'] = (-hue, hue)
        self.blur_prob, self.blur_sigma = blur_prob, blur_sigma
        self.batch_level, self.one_axis_blur = batch_level, one_axis_blur

    @torch.no_grad()
    def __call__(self, step: Step, view: str, labels: LabelMaps,
                 pixels: PixelFormat) -> LabelMaps:
        """Change ``step.views[view]`` in place of the view and its labels.

        Args:
            step (Step): Gives the draws.
            view (str): Name of the view.
            labels (dict[str, Tensor]): Its label maps.
            pixels (PixelFormat): How its image was normalised.

        Returns:
            dict[str, Tensor]: The moved label maps.
        """
        old = step.views[view]
        maps = {**labels, 'image': old.image, 'valid': old.valid}
        if old.target is not None:
            maps['target'] = old.target
        placement = draw_placements(
            len(old.image), *old.size, step.generator, self.scale,
            self.scale_prob, self.flip_prob, self.batch_level)
        fill = {name: CUTOUT_FILL.get(name, 0) for name in maps}
        fill['image'] = pixels.normalized(torch.zeros_like(pixels.mean))
        maps = place(maps, placement, fill)
        images = self._on_some(step, maps['image'], self.jitter_prob,
                               lambda image: self.jitter(step, image, pixels))
        maps['image'] = self._on_some(step, images, self.blur_prob,
                                      lambda image: self.blur(step, image))
        step.views[view] = moved_view(old, maps)
        return maps

    def _on_some(self, step: Step, images: Tensor, prob: float,
                 change: Callable) -> Tensor:
        """Change the images that are drawn, and compute no others.

        The draw is the host's, so that the device is not waited for.
        """
        draws = [step.random.random() for _ in images]
        if self.batch_level:
            draws = draws[:1] * len(draws)
        chosen = [i for i, draw in enumerate(draws) if draw < prob]
        if not chosen:
            return images
        if len(chosen) == len(images):
            return change(images)
        rows = list(images)
        changed = change(torch.stack([rows[i] for i in chosen]))
        for i, image in zip(chosen, changed):
            rows[i] = image
        return torch.stack(rows)

    def jitter(self, step: Step, images: Tensor,
               pixels: PixelFormat) -> Tensor:
        """Colour changes in a random order, clamped to what pixels can be."""
        colors = pixels.colors(images)
        adjust = COLOR_LAWS[self.color_law]
        names = [
            name for name, (low, high) in self.ranges.items() if low < high
        ]
        if not pixels.colours:
            left_out = [name for name in names if name in COLOUR_CHANGES]
            names = [name for name in names if name not in COLOUR_CHANGES]
            if left_out:
                say_skipped('ViewAugment', ' and '.join(left_out),
                            images.shape[1])
        steps = [(adjust[name],
                  self._uniform(step, len(images), *self.ranges[name]))
                 for name in names]
        step.random.shuffle(steps)
        for change, amount in steps:
            colors = change(colors, amount)
        return pixels.from_colors(colors)

    def blur(self, step: Step, images: Tensor) -> Tensor:
        """Gaussian blur; normalised images need not be undone for it."""
        low, high = self.blur_sigma
        if self.one_axis_blur:
            ones = images.new_ones(len(images))
            return gaussian_blur(images, low * ones, high * ones)
        sigma = self._uniform(step, len(images), low, high)
        return gaussian_blur(images, sigma, sigma)

    @staticmethod
    def _uniform(step: Step, number: int, low: float, high: float) -> Tensor:
        draws = torch.rand(
            number, generator=step.generator, device=step.generator.device)
        return low + (high - low) * draws
