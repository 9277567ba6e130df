# Copyright (c) mmseg_semi authors.
"""What is looked at in a cell. Each check raises :class:`Gap` or passes."""
import math
from typing import Dict, Iterable, List, Optional, Set

import torch
from torch import Tensor, nn

from ..models.adapters import network_mode
from ..models.step import Pass
from .batches import with_edges

TOLERANCE = 1e-5
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')


class Gap(Exception):
    """Something is not as it should be; the message is the reason."""


def few(names: Iterable[str]) -> str:
    """The first names and the number of the others."""
    names = sorted(names)
    rest = f' and {len(names) - 2} more' if len(names) > 2 else ''
    return ', '.join(names[:2]) + rest


def parts(net: nn.Module) -> List[str]:
    """Parts of a network that learn: stock ones and heads of terms."""
    names = [name for name in PARTS if getattr(net, name, None) is not None]
    names += [f'semi_heads.{name}' for name in net.semi_heads]
    return [
        name for name in names if any(
            p.requires_grad for p in net.get_submodule(name).parameters())
    ]


def check_not_padded(inputs: Dict[str, Tensor], size: int) -> None:
    """Training keeps the size of the crops."""
    for branch, images in inputs.items():
        if tuple(images.shape[-2:]) != (size, size):
            raise Gap(f'{branch} was padded from {size} x {size} to '
                      f'{images.shape[-2]} x {images.shape[-1]}')


def check_losses(losses: Dict[str, Tensor], expected: Iterable[str]) -> None:
    """All losses are finite, and the expected ones are there.

    Args:
        losses (dict[str, Tensor]): Of one step.
        expected (Iterable[str]): Names without the prefix of a network.
    """
    for name, value in losses.items():
        if not torch.as_tensor(value).isfinite().all():
            raise Gap(f'{name} is {float(torch.as_tensor(value).sum())}')
    missing = [
        wanted for wanted in expected
        if not any(f'.{name}'.endswith(f'.{wanted}') for name in losses)
    ]
    if missing:
        raise Gap(f'the last step has no {", ".join(missing)}')


class Gradients:
    """Which parameters the steps of a model reached.

    Args:
        model (Framework): Before its first step.
        unreached (Iterable[str]): Parameters of the network that stock
            training does not reach; only named in the reason.
    """

    def __init__(self, model, unreached: Iterable[str] = ()) -> None:
        self.model, self.stock_unreached = model, set(unreached)
        self.moving: Set[str] = set()

    def check_step(self) -> None:
        """After a backward: every parameter has a finite gradient.

        In several processes, PyTorch waits for the gradient of each.
        """
        for name in self.model.learners:
            net, absent, infinite = self.model.net(name), [], []
            for key, value in net.named_parameters():
                if not value.requires_grad:
                    continue
                if value.grad is None:
                    absent.append(key)
                elif not value.grad.isfinite().all():
                    infinite.append(key)
            self._note(name, net)
            if absent:
                alike = set(absent) <= self.stock_unreached
                raise Gap(f'no gradient for {few(absent)} of {name}' +
                          (', nor in stock training' if alike else ''))
            if infinite:
                raise Gap(f'gradient of {few(infinite)} of {name} is not '
                          'finite')

    def _note(self, name: str, net: nn.Module) -> None:
        for part in parts(net):
            if any(p.grad is not None and p.grad.any()
                   for p in net.get_submodule(part).parameters()):
                self.moving.add(f'{name}.{part}')

    def check_reached(self) -> None:
        """After the last step: no part was without gradient all along."""
        wanted = {
            f'{name}.{part}'
            for name in self.model.learners
            for part in parts(self.model.net(name))
        }
        if wanted - self.moving:
            raise Gap('gradient is zero in all steps for '
                      f'{few(wanted - self.moving)}')


class TeacherMoves:
    """Whether the parts of a teacher differ from what they were.

    Args:
        model (Framework): Before its first step, with or without a teacher.
    """

    def __init__(self, model) -> None:
        self.model = model
        self.before = self._sums()

    def _sums(self) -> Dict[str, List[float]]:
        """Sums of the parameters, by part."""
        teacher = getattr(self.model, 'teacher', None)
        if teacher is None:
            return {}
        return {
            part: [
                p.double().sum().item()
                for p in teacher.get_submodule(part).parameters()
            ]
            for part in parts(self.model.student)
        }

    def check(self) -> None:
        """After the last step."""
        still = [
            part for part, sums in self._sums().items()
            if sums == self.before[part]
        ]
        if still:
            raise Gap(f'the teacher does not move: {few(still)}')
        teacher = getattr(self.model, 'teacher', None)
        if teacher is not None and any(p.grad is not None
                                       for p in teacher.parameters()):
            raise Gap('the teacher gets a gradient')


def supervised_difference(model, data: dict) -> Optional[float]:
    """Own losses of the wrapped model against ``segmentor.loss``.

    Both on the labelled images alone, without dropout, with the same random
    numbers; the model is left as it was.

    Args:
        model (Framework): In train mode, before its first step.
        data (dict): A preprocessed batch.

    Returns:
        float or None: |ours - stock|, of the sums; None where the method
        has a criterion in place of the model's own losses.
    """
    terms = [
        term for term in model.terms.values()
        if term.name == 'supervised' and term.criterion is None
    ]
    if not terms:
        return None
    term, net = terms[0], model.net(terms[0].net)
    step = model.begin(**data)
    view = step.views['sup']
    samples = with_edges(view.samples)
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    item = Pass(
        'sup',
        term.net, ('sup', ),
        role='learner',
        grad=True,
        dropout=False,
        features=frozenset(term.features('learner', step)))
    torch.manual_seed(0)
    model.run(step, item)
    with network_mode(net, train=True, dropout=False):  # of point heads
        ours = model.parse_losses(term.loss(step))[0] / term.loss_weight
    net.load_state_dict(buffers, strict=False)
    torch.manual_seed(0)
    with network_mode(net, train=True, dropout=False):
        stock = net.parse_losses(net.loss(view.image, samples))[0]
    net.load_state_dict(buffers, strict=False)
    difference = abs(ours.item() - stock.item())
    if not difference <= TOLERANCE * max(1., abs(stock.item())):
        raise Gap(f'own losses are {ours.item():.6g}, those of '
                  f'segmentor.loss {stock.item():.6g}')
    return difference


@torch.no_grad()
def predicted(model, batch: dict, num_classes: int) -> Tensor:
    """Logits (C, H, W) of one image through the stock interface.

    From the same random numbers each time: Hamburger heads (SegNeXt) draw
    the bases of their factors, when they predict too.
    """
    model.eval()
    torch.manual_seed(0)
    size = batch['inputs'][0].shape[-2:]
    sample, = model.test_step(batch)
    logits, labels = sample.seg_logits.data, sample.pred_sem_seg.data
    if tuple(logits.shape) != (num_classes, *size):
        raise Gap(f'logits are {tuple(logits.shape)}, not '
                  f'{(num_classes, *size)}')
    if not logits.isfinite().all():
        raise Gap('logits are not finite')
    if tuple(labels.shape) != (1, *size) or int(labels.max()) >= num_classes:
        raise Gap(f'prediction is {tuple(labels.shape)} with classes up to '
                  f'{int(labels.max())}')
    return logits


def check_same(before: Tensor, after: Tensor) -> None:
    """Outputs of a model and of another that loaded its state."""
    if not torch.equal(before, after):
        largest = (before - after).abs().max().item()
        raise Gap('outputs of the loaded model differ' +
                  (f' by {largest:.3g}' if math.isfinite(largest) else ''))
