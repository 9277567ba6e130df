# Copyright (c) mmseg_semi authors.
"""Exponential moving average of a student network."""
from operator import is_
from typing import Dict, Iterator, List, Tuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

BUFFER_POLICIES = ('copy', 'ema', 'own')


def _differences(teacher: nn.Module, student: nn.Module) -> List[str]:
    """Names of tensors that only one has, or that differ in shape."""
    mine, theirs = ({
        name: value.shape
        for name, value in (*net.named_parameters(), *net.named_buffers())
    } for net in (teacher, student))
    return sorted(name for name in mine.keys() | theirs.keys()
                  if mine.get(name) != theirs.get(name))


def _matched(teacher: nn.Module,
             student: nn.Module) -> Iterator[Tuple[str, Tensor, Tensor]]:
    """Pairs of tensors of the same name, each tensor of the teacher once.

    Yields:
        tuple[str, Tensor, Tensor]: 'parameter', 'statistic' or 'buffer', the
        teacher's tensor and the student's.
    """
    pairs, seen, equal = [(teacher, student)], set(), True
    while pairs and equal:
        mine, theirs = pairs.pop()
        buffer = 'statistic' if isinstance(mine, _NormBase) else 'buffer'
        for kind, own, other in (('parameter', mine._parameters,
                                  theirs._parameters), (buffer, mine._buffers,
                                                        theirs._buffers)):
            equal &= own.keys() == other.keys()
            for name, value in own.items():
                source = other.get(name)
                if value is None or source is None:
                    equal &= value is source
                elif value.shape != source.shape:
                    equal = False
                elif id(value) not in seen:  # a shared tensor moves once
                    seen.add(id(value))
                    yield kind, value, source
        equal &= mine._modules.keys() == theirs._modules.keys()
        for name, child in mine._modules.items():
            other = theirs._modules.get(name)
            if child is not None and other is not None:
                pairs.append((child, other))
            else:
                equal &= child is other
    if not equal:
        odd = _differences(teacher, student)
        where = f'{odd[:5]}{" ..." if len(odd) > 5 else ""}' if odd \
            else 'modules without parameters'
        raise ValueError(
            f'ema_update: teacher and student differ in {where}; both must '
            'be built from the same config.')


class _Pairing:
    """The pairs of two networks, as long as they keep their tensors.

    On small networks matching the names takes longer than the average.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        self.pairs = list(_matched(teacher, student))
        self._members = [
            members for net in (teacher, student) for module in net.modules()
            for members in (module._modules, module._parameters,
                            module._buffers)
        ]
        self._root = student._modules
        self._seen = self._look()

    def _look(self) -> list:
        return [item for group in self._members for item in group.values()]

    def holds_for(self, student: nn.Module) -> bool:
        """Whether no module, parameter or buffer was added or exchanged."""
        now = self._look()
        return self._root is student._modules and len(now) == len(
            self._seen) and all(map(is_, now, self._seen))


_PAIRINGS: 'WeakKeyDictionary[nn.Module, _Pairing]' = WeakKeyDictionary()


def _pairing(teacher: nn.Module, student: nn.Module) -> _Pairing:
    known = _PAIRINGS.get(teacher)
    if known is None or not known.holds_for(student):
        known = _PAIRINGS[teacher] = _Pairing(teacher, student)
    return known


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
        ValueError: Unknown policy, or modules, names or shapes differ.
    """
    if buffers not in BUFFER_POLICIES:
        raise ValueError(
            f'buffers={buffers!r} is not one of {BUFFER_POLICIES}.')
    averaged: Tuple[list, list] = ([], [])
    # By kind: one integer counter in the list would end the fused copy.
    copied: Dict[bool, Tuple[list, list]] = {True: ([], []), False: ([], [])}
    for kind, value, source in _pairing(teacher, student).pairs:
        if kind == 'statistic' and buffers == 'own':
            continue
        floating = value.is_floating_point()
        average = floating and decay > 0 and (
            kind == 'parameter' or kind == 'statistic' and buffers == 'ema')
        values, sources = averaged if average else copied[floating]
        values.append(value)
        sources.append(source)
    if averaged[0]:
        torch._foreach_lerp_(*averaged, 1 - decay)
    for values, sources in copied.values():
        if values:
            torch._foreach_copy_(values, sources)
