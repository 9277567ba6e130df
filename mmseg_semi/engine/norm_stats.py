# Copyright (c) mmseg_semi authors.
"""Running statistics of normalisation layers across processes."""
import torch.nn as nn
from mmengine.dist import all_reduce_params
from torch.nn.modules.batchnorm import _NormBase


def average_norm_stats(model: nn.Module) -> None:
    """Replace running means and variances by their mean over processes.

    DDP here runs with ``broadcast_buffers=False``, so every process gathers
    its own statistics, and without this the file would hold those of process
    0. Integer buffers (``num_batches_tracked``) and buffers of other modules
    (banks, prototypes) are equal everywhere by construction and not touched.
    A no-op in a single process. All processes must call it.

    Args:
        model (nn.Module): The model, wrapped or not.
    """
    stats = [
        stat for module in model.modules() if isinstance(module, _NormBase)
        for stat in (module.running_mean, module.running_var)
        if stat is not None
    ]
    if stats:
        all_reduce_params(stats, op='mean')
