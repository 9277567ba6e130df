# Copyright (c) mmseg_semi authors.
"""Training loop, hooks, checkpoint safety and optimizer constructors."""
from .accumulation import accumulate_batches
from .checkpoint import (CheckpointError, UnsafeCheckpointError,
                         check_checkpoint, convert_checkpoint,
                         find_resumable_checkpoint)
from .hooks import (BestWeightsHook, EMATeacherHook, MemoryBankHook,
                    NormRefreshHook, RunRecordHook, SemiCheckpointHook)
from .loops import SemiIterBasedTrainLoop
from .optim_constructor import (SemiLayerDecayOptimizerConstructor,
                                SemiOptimWrapperConstructor)

__all__ = [
    'BestWeightsHook', 'CheckpointError', 'EMATeacherHook', 'MemoryBankHook',
    'NormRefreshHook', 'RunRecordHook', 'SemiCheckpointHook',
    'SemiIterBasedTrainLoop', 'SemiLayerDecayOptimizerConstructor',
    'SemiOptimWrapperConstructor', 'UnsafeCheckpointError',
    'accumulate_batches', 'check_checkpoint', 'convert_checkpoint',
    'find_resumable_checkpoint'
]
