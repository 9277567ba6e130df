# Copyright (c) mmseg_semi authors.
"""The model of one cell of the matrix: a family trained by a method."""
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS

from ..config_files import base
from ..models.regularizers.training_plan import TrainingPlan
from .batches import LABELED, NUM_CLASSES
from .methods import STEPS, Method
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
    path = base(f'methods/{method.base}.py')
    cfg = Config(dict(model=Config.fromfile(path).model))
    cfg.merge_from_dict(dict(model=method.model))
    cfg.model.segmentor = small_input(config, size)
    cfg.model.num_classes = NUM_CLASSES
    return cfg.model


def build_model(config: str, method: Method, size: int, seed: int = 0):
    """The cell's model with random weights, told the training's length.

    Returns:
        Framework: In train mode.
    """
    torch.manual_seed(seed)
    model = MODELS.build(model_config(config, method, size))
    model = revert_sync_batchnorm(model)  # SyncBN refuses the CPU
    model.seed = 0
    model.plan_training(
        TrainingPlan(
            total_iters=STEPS,
            labeled_images=LABELED,
            unlabeled_images=method.unlabeled,
            labeled_batch=LABELED,
            unlabeled_batch=method.unlabeled))
    model.init_weights()
    return model.train()
