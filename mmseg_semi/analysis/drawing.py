# Copyright (c) mmseg_semi authors.
"""Pictures of what the analysis found, as PNG files."""
import io
from typing import List, Optional, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .activation import ActivatedImage
from .tsne import Points

DPI = 110
MAP = 'viridis'
WIDTH = 2.2  # of a picture in the grid, in inches
LEGEND_ROWS = 25


def class_colors(palette: Optional[Sequence], num_classes: int) -> np.ndarray:
    """(C, 3) fp64 in [0, 1]: the data set's colours, or matplotlib's."""
    if palette is not None:
        return np.asarray(palette, float) / 255
    cycle = colormaps['tab20'].colors
    return np.array([to_rgb(cycle[i % 20]) for i in range(num_classes)])


def prototype_title(shown: ActivatedImage, k: int,
                    names: Sequence[str]) -> str:
    """Class, index and part of the pixels of the k-th map."""
    label = shown.classes[k]
    name = names[label] if label < len(names) else 'no object'
    return f'{name} #{shown.index[k]}\n{100 * shown.share[k]:.1f} % of pixels'


def draw_activations(title: str,
                     rows: Sequence[ActivatedImage],
                     names: Sequence[str],
                     palette: Optional[Sequence] = None) -> bytes:
    """Image, prediction and one heat map per prototype; a row per image.

    The maps of a row have one scale of colours.

    Args:
        title (str): Above everything.
        rows (Sequence[ActivatedImage]): At least one.
        names (Sequence[str]): Of the C classes.
        palette (Sequence, optional): (C, 3) in 0..255.

    Returns:
        bytes: A PNG file.
    """
    columns = 2 + max(len(shown.maps) for shown in rows)
    heights = [
        WIDTH * shown.image.shape[0] / shown.image.shape[1] for shown in rows
    ]
    figure = Figure((WIDTH * columns + .8, sum(heights) + .6 * len(rows) + .5),
                    layout='constrained')
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(
        len(rows), columns, squeeze=False, height_ratios=heights)
    for axis in axes.flat:
        axis.axis('off')
    colors = class_colors(palette, len(names))
    for row, shown in zip(axes, rows):
        _draw_row(figure, row, shown, names, colors)
    return _png(figure)


def _draw_row(figure: Figure, axes, shown: ActivatedImage,
              names: Sequence[str], colors: np.ndarray) -> None:
    axes[0].imshow(shown.image)
    axes[0].set_title('image', fontsize=8)
    axes[1].imshow(colors[shown.prediction], interpolation='nearest')
    axes[1].set_title('prediction', fontsize=8)
    low, high = shown.maps.min(), shown.maps.max()
    for k, axis in enumerate(axes[2:2 + len(shown.maps)]):
        drawn = axis.imshow(shown.maps[k], cmap=MAP, vmin=low, vmax=high)
        axis.set_title(prototype_title(shown, k, names), fontsize=8)
    bar = figure.colorbar(drawn, ax=axes, fraction=.02, pad=.01)
    bar.ax.tick_params(labelsize=7)


def draw_confidence(title: str,
                    rows: Sequence,
                    names: Sequence[str],
                    palette: Optional[Sequence] = None) -> bytes:
    """Image, label, prediction and how sure the model is; a row per image.

    Args:
        title (str): Above everything.
        rows (Sequence[Shown]): At least one, of
            :func:`mmseg_semi.reporting.predictions.show_images`.
        names (Sequence[str]): Of the C classes.
        palette (Sequence, optional): (C, 3) in 0..255. Pixels without a
            label are grey.

    Returns:
        bytes: A PNG file.
    """
    colors = np.full((256, 3), .5)
    colors[:len(names)] = class_colors(palette, len(names))
    figure = Figure((4 * WIDTH + .8, WIDTH * len(rows) + .5),
                    layout='constrained')
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), 4, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for axis, head in zip(axes[0],
                          ('image', 'label', 'prediction', 'confidence')):
        axis.set_title(head, fontsize=8)
    for row, shown in zip(axes, rows):
        row[0].imshow(shown.photo)
        for axis, classes in zip(row[1:], (shown.truth, shown.predicted)):
            axis.imshow(colors[classes], interpolation='nearest')
        drawn = row[3].imshow(shown.confidence, cmap=MAP, vmin=0, vmax=1)
    bar = figure.colorbar(drawn, ax=axes, fraction=.02, pad=.01)
    bar.ax.tick_params(labelsize=7)
    return _png(figure)


def draw_points(title: str,
                points: Points,
                plane: np.ndarray,
                names: Sequence[str],
                palette: Optional[Sequence] = None) -> bytes:
    """Pixels as dots and prototypes as stars, by the colour of the class.

    Args:
        title (str): Above everything.
        points (Points): Those of N pixels and P prototypes.
        plane (np.ndarray): (N + P, 2), where they are drawn.
        names (Sequence[str]): Of the C classes.
        palette (Sequence, optional): (C, 3) in 0..255.

    Returns:
        bytes: A PNG file.
    """
    colors = class_colors(palette, len(names))
    classes = points.classes.numpy()
    stars = points.is_prototype.numpy()
    figure = Figure((9, 7), layout='constrained')
    axis = figure.subplots()
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.scatter(
        *plane[~stars].T, s=8, c=colors[classes[~stars]], alpha=.6, lw=0)
    axis.scatter(
        *plane[stars].T,
        s=170,
        c=colors[classes[stars]],
        marker='*',
        edgecolors=_edges(colors[classes[stars]]),
        lw=.9)
    handles = _legend(np.unique(classes), stars.any(), names, colors)
    axis.legend(
        handles=handles,
        loc='center left',
        bbox_to_anchor=(1, .5),
        frameon=False,
        fontsize=8,
        ncols=-(-len(handles) // LEGEND_ROWS))
    return _png(figure)


def _edges(colors: np.ndarray) -> List[str]:
    """Around a dark star a light line, around others a dark one."""
    return ['white' if sum(color) < .6 else 'black' for color in colors]


def _legend(classes, with_stars: bool, names: Sequence[str],
            colors: np.ndarray) -> List[Line2D]:
    dot = dict(linestyle='', marker='o', markersize=6)
    handles = [
        Line2D([], [], color=colors[c], label=names[c], **dot) for c in classes
    ]
    if with_stars:
        handles.append(
            Line2D([], [],
                   linestyle='',
                   marker='*',
                   markersize=12,
                   color='white',
                   markeredgecolor='black',
                   label='prototype'))
    return handles


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=DPI)
    return buffer.getvalue()
