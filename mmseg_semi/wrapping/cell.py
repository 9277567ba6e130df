# Copyright (c) mmseg_semi authors.
"""One cell of the matrix: build, train, predict, save and load."""
import re
import tempfile
import time
import warnings
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Optional, Set

import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch import nn

from .batches import NUM_CLASSES, image_batch, train_batch
from .cell_config import build_model
from .checks import (Gap, Gradients, TeacherMoves, check_losses,
                     check_not_padded, check_same, predicted,
                     supervised_difference)
from .methods import METHODS, STEPS, Method
from .networks import Stock, settle_norms, stock_training

LEARNING_RATE = 1e-3
LARGEST_NORM = 100.
SEEDS = (0, 1, 2)
# An untrained network may see a single class in all images, and BRPG learns
# nothing from prototypes of one class: other weights are tried.
CHANCE = ('gradients: gradient is zero', 'teacher: the teacher does not move')
# What cannot be wrapped, and words of the error that says so at build.
REFUSALS = dict(
    psanet='psamask.*no compiled operators',
    san='MultimodalEncoderDecoder cannot be wrapped',
    vpd='DepthEstimator cannot be wrapped',
    convnext='needs mmpretrain',
    poolformer='needs mmpretrain')


@dataclass
class Cell:
    """What was found.

    Args:
        family (str): Folder of the config.
        method (str): One of :data:`METHODS`.
        ok (bool): Every check passed.
        reason (str): Of every gap, one after the other; empty if ok.
        seconds (float): CPU time; a cell uses one thread.
        refused (bool): Not wrapped, as documented.
        difference (float, optional): |own losses - ``segmentor.loss``|; None
            where the method has a criterion of its own.
    """
    family: str
    method: str
    ok: bool
    reason: str
    seconds: float
    refused: bool = False
    difference: Optional[float] = None

    def as_dict(self) -> dict:
        """The form in which cells are stored."""
        return asdict(self)


class Points:
    """Checks one after the other; a failed one does not stop the next."""

    def __init__(self) -> None:
        self.reasons: List[str] = []
        self._known: Set[str] = set()

    @contextmanager
    def point(self, name: str):
        try:
            yield
        except Exception as err:  # whatever a foreign model raises
            text = describe(err)
            if text not in self._known:  # as the step before
                self.reasons.append(f'{name}: {text}')
            self._known.add(text)


def describe(err: Exception) -> str:
    """Type and first line of an error; the message alone of a gap."""
    lines = str(err).strip().splitlines() or ['']
    text = lines[0].strip()
    return text if isinstance(err, Gap) else f'{type(err).__name__}: {text}'


def check_cell(family: str, config: str, method: str) -> Cell:
    """Check one family with one method.

    Args:
        family (str): Its name.
        config (str): Its config, ``mmseg::family/name.py``.
        method (str): One of :data:`METHODS`.

    Returns:
        Cell: The findings.
    """
    start = time.process_time()
    with _quiet(), torch.random.fork_rng(devices=[]), \
            DefaultScope.overwrite_default_scope('mmseg'):
        for seed in SEEDS:
            points = Points()
            difference = _check(config, METHODS[method], points, seed)
            if not points.reasons or not all(
                    reason.startswith(CHANCE) for reason in points.reasons):
                break
    reason = '; '.join(points.reasons)
    pattern = REFUSALS.get(family)
    return Cell(
        family,
        method,
        ok=not reason,
        reason=reason,
        seconds=round(time.process_time() - start, 2),
        refused=bool(
            pattern and reason.startswith('build: ')
            and re.search(pattern, reason)),
        difference=difference)


@contextmanager
def _quiet():
    """Errors alone are logged; the logger is left as it was."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def _check(config: str, method: Method, points: Points,
           seed: int) -> Optional[float]:
    """Run all points; the difference of the own losses."""
    model = difference = logits = None
    with points.point('build'):
        stock = stock_training(config)
        model = build_model(config, method, stock.size, seed)
    if model is None:
        return None
    batch = train_batch(method, stock.size)
    with points.point('own losses'):
        data = model.data_preprocessor(deepcopy(batch), True)
        check_not_padded(data['inputs'], stock.size)
        settle_norms(model, data['inputs']['sup'])
        difference = supervised_difference(model, data)
    with points.point('train'):
        _train(model, batch, method, stock, points)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.pth'
        with points.point('predict'):
            logits = predicted(model, image_batch(stock.size), NUM_CLASSES)
        torch.save(model.state_dict(), path)
        del model  # before the next one is built
        if logits is not None:
            with points.point('save and load'):
                loaded = build_model(config, method, stock.size, seed + 1)
                loaded.load_state_dict(torch.load(path), strict=True)
                check_same(
                    logits,
                    predicted(loaded, image_batch(stock.size), NUM_CLASSES))
    return difference


def _train(model, batch: dict, method: Method, stock: Stock,
           points: Points) -> None:
    """Three optimizer steps, as the training loop and its hooks take them."""
    gradients = Gradients(model, stock.unreached)
    teacher = TeacherMoves(model)
    learned = [value for value in model.parameters() if value.requires_grad]
    for step in range(STEPS):
        data = model.data_preprocessor(deepcopy(batch), True)
        losses = model.loss(**data)
        check_losses(losses, method.losses if step == STEPS - 1 else ())
        total, _ = model.parse_losses(losses)
        model.zero_grad()
        total.backward()
        with points.point(f'gradients of step {step + 1}'):
            gradients.check_step()
        _descend(learned)
        if hasattr(model, 'update_teacher'):
            model.update_teacher()
    with points.point('gradients'):
        gradients.check_reached()
    with points.point('teacher'):
        teacher.check()


@torch.no_grad()
def _descend(parameters: List[torch.Tensor]) -> None:
    """A step of plain SGD; importing PyTorch's takes longer than a cell.

    The gradients of deep networks that are not pretrained may throw them off
    at once, so their norm is limited.
    """
    nn.utils.clip_grad_norm_(parameters, LARGEST_NORM)
    for value in parameters:
        if value.grad is not None:
            value.add_(value.grad, alpha=-LEARNING_RATE)
