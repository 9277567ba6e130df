# Copyright (c) mmseg_semi authors.
import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def label_edges(labels: Tensor,
                width: int = 4,
                ignore_index: int = 255) -> Tensor:
    """Borders between classes, as MMSegmentation's ``GenerateEdge`` draws.

    Args:
        labels (Tensor): (B, H, W) class ids.
        width (int): Pixels across an edge. Defaults to 4, PIDNet's.
        ignore_index (int): There is no border to a pixel of this label.

    Returns:
        Tensor: (B, H, W), 1 on edges and 0 elsewhere, dtype of ``labels``.
    """
    edges = torch.zeros_like(labels, dtype=torch.float)
    # The pixel that is marked and its neighbour: below its upper one, left of
    # its right one, and both diagonals.
    down, up = slice(1, None), slice(None, -1)
    for rows, cols, rows2, cols2 in ((down, slice(None), up, slice(None)),
                                     (slice(None), up, slice(None),
                                      down), (up, up, down, down), (up, down,
                                                                    down, up)):
        one, other = labels[:, rows, cols], labels[:, rows2, cols2]
        border = (one != other) & (one != ignore_index) & (
            other != ignore_index)
        edges[:, rows, cols] = edges[:, rows, cols].maximum(border.float())
    before, after = width // 2, width - 1 - width // 2
    padded = F.pad(edges[:, None], (before, after, before, after))
    return F.max_pool2d(padded, width, stride=1)[:, 0].to(labels.dtype)
