# Copyright (c) mmseg_semi authors.
"""A picture of what two models see, and of how they learned."""
import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

from ..apis import inference_model, init_model
from ..datasets.digit_scenes import CLASSES, PALETTE

_COLUMNS = ('image', 'ground truth', 'supervised', 'BRPG',
            'pseudo-label\nconfidence')
_LINES = dict(supervised='#d95f02', BRPG='#1f78b4')
_MAP = 'viridis'


class Example(NamedTuple):
    """One row: a title, two files, and arrays (H, W)."""
    title: str
    image: str
    truth: str
    supervised: np.ndarray
    brpg: np.ndarray
    confidence: np.ndarray


def predict(cfg: Config, checkpoint: Path,
            images: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Class maps and the teacher's confidence.

    Args:
        cfg (Config): The config of the training.
        checkpoint (Path): Its checkpoint.
        images (Sequence[str]): Image files.

    Returns:
        list[tuple[np.ndarray, np.ndarray]]: Per image the predicted classes
        (H, W), by the network that the config predicts with, and the largest
        softmax score of the teacher (H, W) in [0, 1]: what labels the
        unlabelled images.
    """
    # Building and loading say what is of no use here.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        MMLogger.get_instance('report', log_level='ERROR')
        model = init_model(cfg.copy(), str(checkpoint), device='cpu')
        predicted = inference_model(model, list(images))
        model.predict_with = 'teacher'
        taught = inference_model(model, list(images))
    return [(result.pred_sem_seg.data[0].numpy(),
             torch.softmax(teacher.seg_logits.data, 0).amax(0).numpy())
            for result, teacher in zip(predicted, taught)]


def draw_report(title: str, examples: Sequence[Example],
                curves: dict) -> bytes:
    """Draw the picture.

    Args:
        title (str): Above everything.
        examples (Sequence[Example]): The rows.
        curves (dict[str, list]): Method -> (iteration, mIoU in percent).

    Returns:
        bytes: A PNG file.
    """
    rows = len(examples)
    figure = Figure((14, 1.55 * rows + 1.3), layout='constrained')
    figure.suptitle(title, fontsize=14)
    left, right = figure.subfigures(1, 2, width_ratios=(8.4, 5.6))
    axes = left.subplots(
        rows + 1,
        len(_COLUMNS),
        squeeze=False,
        height_ratios=[1] * rows + [.1])
    for row, example in zip(axes, examples):
        _draw_example(row, example)
    for axis, name in zip(axes[0], _COLUMNS):
        axis.set_title(name, fontsize=11)
    for axis in axes[-1, :-1]:
        axis.axis('off')
    left.colorbar(
        ScalarMappable(Normalize(0, 1), _MAP),
        cax=axes[-1, -1],
        orientation='horizontal',
        ticks=[0, .5, 1])
    _draw_curves(right, curves)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    return buffer.getvalue()


def _draw_example(axes, example: Example) -> None:
    palette = np.array(PALETTE, np.uint8)
    with Image.open(example.image) as image, \
            Image.open(example.truth) as truth:
        pictures = [np.array(image), palette[np.array(truth)]]
    pictures += [palette[example.supervised], palette[example.brpg]]
    for axis, picture in zip(axes, pictures):
        axis.imshow(picture, interpolation='nearest')
    axes[-1].imshow(example.confidence, cmap=_MAP, vmin=0, vmax=1)
    axes[0].set_ylabel(example.title, fontsize=9)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def _draw_curves(figure, curves: dict) -> None:
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1))
    for name, curve in curves.items():
        steps, scores = zip(*curve)
        upper.plot(
            steps,
            scores,
            marker='o',
            color=_LINES[name],
            label=f'{name}: {scores[-1]:.1f} at the end')
    top = max(score for curve in curves.values() for _, score in curve)
    upper.set_xlim(left=0)
    upper.set_ylim(0, 1.1 * max(top, 1))
    upper.set_xlabel('training iteration')
    upper.set_ylabel('mIoU on the validation images (%)')
    upper.set_title('learning curves', fontsize=11)
    upper.grid(alpha=.3)
    upper.legend(loc='lower right')
    lower.axis('off')
    lower.legend(
        handles=[
            Patch(
                facecolor=np.array(color) / 255, edgecolor='0.5', label=name)
            for name, color in zip(CLASSES, PALETTE)
        ],
        title='classes',
        loc='center',
        ncols=4,
        frameon=False)
