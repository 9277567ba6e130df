# Copyright (c) mmseg_semi authors.
"""Running a training or a test."""
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from ..engine.work_dir import check_unused


def train(cfg: Config) -> Runner:
    """Train.

    Args:
        cfg (Config): Of :func:`.train_config`.

    Returns:
        Runner: After its training.

    Raises:
        WorkDirError: If the work directory has checkpoints of another
            training and the config neither resumes nor says
            ``reuse_work_dir=True``.
    """
    if not (cfg.get('resume') or cfg.get('reuse_work_dir')):
        check_unused(cfg.work_dir)  # again, and with a lock, by the loop
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
