# Copyright (c) mmseg_semi authors.
"""Exponential moving average of a student network."""
from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

BUFFER_POLICIES = ('copy', 'ema', 'own')


def _pairs(teacher: Dict[str, Tensor], student: Dict[str, Tensor],
           kind: str) -> Tuple[List[Tensor], List[Tensor]]:
    """Match tensors by name; raise if names or shapes differ."""
    odd = sorted(teacher.keys() ^ student.keys())
    odd = odd or [
        name for name, value in teacher.items()
        if value.shape != student[name].shape
    ]
    if odd:
        raise ValueError(
            f'ema_update: teacher and student differ in the {kind} '
            f'{odd[:5]}{" ..." if len(odd) > 5 else ""}; both must be built '
            'from the same config.')
    return list(teacher.values()), [student[name] for name in teacher]


def _tensors(module: nn.Module) -> Tuple[Dict, Dict, Dict]:
    """Parameters, normalisation statistics and other buffers, by name.

    In one walk: on small networks the names take longer than the average.
    """
    parameters, statistics, others = {}, {}, {}
    seen = set()
    for prefix, child in module.named_modules():
        buffers = statistics if isinstance(child, _NormBase) else others
        for found, own in ((parameters, child._parameters), (buffers,
                                                             child._buffers)):
            for name, tensor in own.items():
                if tensor is not None and tensor not in seen:
                    seen.add(tensor)  # a shared tensor moves once
                    found[f'{prefix}.{name}'.lstrip('.')] = tensor
    return parameters, statistics, others


@torch.no_grad()
def ema_update(teacher: nn.Module,
               student: nn.Module,
               decay: float,
               buffers: str = 'copy') -> None:
    """Move the teacher towards the student: t <- decay t + (1 - decay) s.

    Args:
        teacher (nn.Module): Changed in place.
        student (nn.Module): Same architecture, not wrapped.
        decay (float): In [0, 1]; 0 copies exactly.
        buffers (str): What happens to the statistics of normalisation layers:
            'copy' takes the student's, 'ema' averages them as the parameters
            (counters are copied), 'own' leaves the teacher's alone: it
            gathers them in its own train-mode passes, as in U2PL, PCR and
            BRPG. Every other buffer is copied.

    Raises:
        ValueError: Unknown policy, or names or shapes differ.
    """
    if buffers not in BUFFER_POLICIES:
        raise ValueError(
            f'buffers={buffers!r} is not one of {BUFFER_POLICIES}.')
    parameters, statistics, others = zip(_tensors(teacher), _tensors(student))
    averaged, sources = _pairs(*parameters, 'parameters')
    copied, originals = _pairs(*others, 'buffers')
    pairs = _pairs(*statistics, 'buffers')
    if buffers != 'own':
        for value, source in zip(*pairs):
            average = buffers == 'ema' and value.is_floating_point()
            (averaged if average else copied).append(value)
            (sources if average else originals).append(source)
    if decay == 0:
        copied, originals = copied + averaged, originals + sources
    elif averaged:
        torch._foreach_lerp_(averaged, sources, 1 - decay)
    # By kind: one integer counter in the list would end the fused copy.
    for floating in (True, False):
        pairs = [(value, source) for value, source in zip(copied, originals)
                 if value.is_floating_point() == floating]
        if pairs:
            torch._foreach_copy_(*map(list, zip(*pairs)))
