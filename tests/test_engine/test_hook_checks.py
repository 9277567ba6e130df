# Copyright (c) mmseg_semi authors.
import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmseg.evaluation import IoUMetric

from mmseg_semi.engine.hook_checks import check_epoch_hooks, check_scores
from mmseg_semi.engine.hooks import PatienceHook, SemiCheckpointHook
from .engine_toys import make_runner


class OwnMetric(BaseMetric):
    """Nobody knows what it computes."""

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        return {}


def evaluator(*kinds, prefix=None):
    return Evaluator(IoUMetric(iou_metrics=list(kinds), prefix=prefix))


@pytest.mark.parametrize('hook,setting', [
    (SemiCheckpointHook(by_epoch=False, save_best='mIoU'), 'save_best'),
    (CheckpointHook(by_epoch=False, save_best=['aAcc', 'mIoU']), 'save_best'),
    (EarlyStoppingHook(monitor='mIoU'), 'monitor'),
    (PatienceHook(3), 'metric'),
])
def test_a_score_that_nothing_computes(hook, setting):
    check_scores([hook], evaluator('mIoU'))
    check_scores([hook], evaluator('mFscore', 'mIoU'))
    check_scores([hook], Evaluator(OwnMetric()))
    check_scores([hook], None)
    message = f"{setting}='mIoU', .* computes aAcc, mDice, mAcc"
    with pytest.raises(ValueError, match=message):
        check_scores([hook], evaluator('mDice'))
    with pytest.raises(ValueError, match='val/aAcc, val/mIoU'):
        check_scores([hook], evaluator('mIoU', prefix='val'))


def test_best_of_whatever_there_is():
    hook = CheckpointHook(by_epoch=False, save_best='auto')
    check_scores([hook], evaluator('mDice'))


def test_no_checkpoints_after_epochs_that_there_are_not(tmp_path):
    check_epoch_hooks([SemiCheckpointHook(by_epoch=False)])
    with pytest.raises(ValueError, match=r'by_epoch=False, and .* \(7\)'):
        check_epoch_hooks([CheckpointHook(interval=7)])
    runner = make_runner(tmp_path)
    runner.register_hook(CheckpointHook(interval=1))
    with pytest.raises(ValueError, match='only the end would be saved'):
        runner.train()
