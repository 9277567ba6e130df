# Copyright (c) mmseg_semi authors.
"""Sliding evaluation: where the published codes put their windows."""
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODES = ('whole', 'slide')
WINDOWS = ('shifted', 'cut')
AVERAGES = ('logits', 'probabilities')


def check_test_cfg(cfg: Optional[dict]) -> None:
    """Refuse what prediction would not understand, before it is needed.

    Args:
        cfg (dict, optional): ``test_cfg`` of a :class:`SemiSegmentor`.

    Raises:
        ValueError: Names the option, its value and those that work.
    """
    cfg = cfg or {}
    for name, known in dict(
            mode=MODES,
            windows=WINDOWS,
            average=AVERAGES,
            pad_to_crop=(False, True)).items():
        if name in cfg and cfg[name] not in known:
            raise ValueError(f'test_cfg: {name}={cfg[name]!r} is not one of '
                             f'{list(known)}.')
    if cfg.get('mode') != 'slide':
        return
    missing = [name for name in ('crop_size', 'stride') if name not in cfg]
    if missing:
        raise ValueError(f"test_cfg: mode='slide' needs {missing}: (height, "
                         'width) of a window, and its steps down and right.')
    for name in ('crop_size', 'stride'):
        value = cfg[name]
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ValueError(
                f'test_cfg: {name}={value!r} is no pair (height, width). '
                f'Write {name}=(512, 512), for instance.')
    crop, stride = tuple(cfg['crop_size']), tuple(cfg['stride'])
    if any(not 0 < step <= side for side, step in zip(crop, stride)):
        raise ValueError(f'test_cfg: stride={stride} must be above 0 and at '
                         f'most crop_size={crop}, or pixels are left out.')


def window_spans(length: int, side: int, stride: int,
                 windows: str) -> List[Tuple[int, int]]:
    """Where windows begin and end along one axis.

    Args:
        length (int): Pixels of the image.
        side (int): Pixels of a window.
        stride (int): Pixels between two beginnings.
        windows (str): 'shifted': as few as cover the image, the last one
            moved back inside. 'cut': one at every multiple of the stride
            inside the image, cut at its border.

    Returns:
        list[tuple[int, int]]: Begin and end, which is not included.
    """
    starts = range(0, length, stride)
    if windows == 'shifted':
        count = -(-max(length - side, 0) // stride) + 1
        starts = [
            max(min(start, length - side), 0)
            for start in range(0, count * stride, stride)
        ]
    return [(start, min(start + side, length)) for start in starts]


def _padding(size: Tuple[int, int], crop: Tuple[int, int]) -> List[int]:
    """Left, right, top, bottom: the image in the middle of a window."""
    padding = []
    for length, side in zip(size[::-1], crop[::-1]):
        missing = max(side - length, 0)
        padding += [missing // 2, missing - missing // 2]
    return padding


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(1) if logits.shape[1] > 1 else logits.sigmoid()


def _logits(probabilities: Tensor) -> Tensor:
    """What :func:`_probabilities` maps back to them; finite."""
    tiny = torch.finfo(probabilities.dtype).tiny
    if probabilities.shape[1] == 1:
        return probabilities.logit(eps=1e-6)
    return probabilities.clamp_min(tiny).log()


def slide_inference(self: nn.Module, inputs: Tensor,
                    batch_img_metas: List[dict]) -> Tensor:
    """Predict windows of ``test_cfg.crop_size`` and average where they meet.

    ``EncoderDecoder.slide_inference``, with these options of ``test_cfg``:

    - ``windows``: see :func:`window_spans`. 'cut' is UniMatch's on
      Cityscapes. Defaults to 'shifted'.
    - ``average``: of 'logits' or of 'probabilities' (UniMatch), which are
      then turned into logits again. Defaults to 'logits'.
    - ``pad_to_crop``: put images smaller than a window into the middle of
      one, and drop the border from the result (CPS). The border is 0 after
      normalisation, the mean colour. (The code of CPS takes black where only
      one side is too small, which happens in none of its data sets.)
      Defaults to False: the window shrinks.

    Strides of CPS are two thirds of the window rounded up (342 of 512, 534 of
    800), of UniMatch rounded down.

    Args:
        self (SemiSegmentor): Gives ``test_cfg`` and ``encode_decode``.
        inputs (Tensor): (B, 3, H, W), normalised.
        batch_img_metas (list[dict]): Meta information of the images.

    Returns:
        Tensor: Logits (B, C, H, W).
    """
    cfg = self.test_cfg
    crop, average = cfg['crop_size'], cfg.get('average', 'logits')
    padding = [0] * 4
    if cfg.get('pad_to_crop', False):
        padding = _padding(inputs.shape[2:], crop)
    padded = F.pad(inputs, padding)
    batch, _, height, width = padded.shape
    total = padded.new_zeros(batch, self.out_channels, height, width)
    count = padded.new_zeros(batch, 1, height, width)
    rows, cols = (
        window_spans(length, side, stride, cfg.get('windows', 'shifted'))
        for length, side, stride in zip((height, width), crop, cfg['stride']))
    for top, bottom in rows:
        for left, right in cols:
            window = padded[:, :, top:bottom, left:right]
            # A torch.Size tells heads that this is a window.
            batch_img_metas[0]['img_shape'] = window.shape[2:]
            logits = self.encode_decode(window, batch_img_metas)
            if average == 'probabilities':
                logits = _probabilities(logits)
            total[:, :, top:bottom, left:right] += logits
            count[:, :, top:bottom, left:right] += 1
    mean = total / count
    if average == 'probabilities':
        mean = _logits(mean)
    left, right, top, bottom = padding
    return mean[:, :, top:height - bottom, left:width - right]
