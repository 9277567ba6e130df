# Copyright (c) mmseg_semi authors.
"""Running a training or a test."""
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import RUNNERS


def train(cfg: Config) -> Runner:
    """Train.

    Args:
        cfg (Config): Of :func:`.train_config`.

    Returns:
        Runner: After its training.
    """
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(
        cfg)
    runner.train()
    return runner


def test(cfg: Config) -> dict:
    """Evaluate a checkpoint.

    Args:
        cfg (Config): Of :func:`.test_config`.

    Returns:
        dict[str, float]: The scores; empty where only masks were wanted.
    """
    return Runner.from_cfg(cfg).test() or {}
