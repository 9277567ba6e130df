# Copyright (c) mmseg_semi authors.
"""The model of one cell of the matrix: a family trained by a method."""
import inspect

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS

from ..models.segmentors.semi_segmentor import SemiSegmentor
from .batches import LABELED, NUM_CLASSES
from .explicit import explicit_options
from .methods import STEPS, Method, method_base
from .networks import small_input


def model_config(config: str, method: Method, size: int) -> ConfigDict:
    """What a user would write, and what makes it small.

    Args:
        config (str): ``mmseg::family/name.py``.
        method (Method): The method, whose phases are shortened.
        size (int): Height and width of the input.

    Returns:
        ConfigDict: A model config.
    """
    cfg = Config(dict(model=Config.fromfile(method_base(method.base)).model))
    cfg.merge_from_dict(dict(model=method.model))
    cfg.merge_from_dict(
        dict(
            model=dict(
                segmentor=small_input(config, size), num_classes=NUM_CLASSES)))
    if 'num_classes' not in inspect.signature(
            SemiSegmentor.__init__).parameters:
        return explicit_options(cfg.model, size)
    return cfg.model


def build_model(config: str, method: Method, size: int, seed: int = 0):
    """The cell's model with random weights, told the training's length.

    Returns:
        Framework: In train mode.
    """
    torch.manual_seed(seed)
    model = MODELS.build(model_config(config, method, size))
    model = revert_sync_batchnorm(model)  # SyncBN refuses the CPU
    model.seed, model.total_iters = 0, STEPS
    plan_terms(model, method)
    model.init_weights()
    return model.train()


def plan_terms(model, method: Method) -> None:
    """What the training loop tells the terms before it starts."""
    from ..models.regularizers import term as terms
    if hasattr(terms, 'TrainingPlan'):
        plan = terms.TrainingPlan(
            total_iters=STEPS,
            labeled_images=LABELED,
            unlabeled_images=method.unlabeled,
            labeled_batch=LABELED,
            unlabeled_batch=method.unlabeled)
        for each in model.terms.values():
            each.plan(plan)
