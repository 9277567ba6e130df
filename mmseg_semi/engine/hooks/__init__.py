# Copyright (c) mmseg_semi authors.
from .best_weights_hook import BestWeightsHook
from .checkpoint_hook import SemiCheckpointHook
from .ema_teacher_hook import EMATeacherHook
from .memory_bank_hook import MemoryBankHook
from .norm_refresh_hook import NormRefreshHook
from .patience_hook import PatienceHook
from .picture_hook import PictureHook
from .precision_gate_hook import PrecisionGateHook
from .run_record_hook import RunRecordHook

__all__ = [
    'BestWeightsHook', 'EMATeacherHook', 'MemoryBankHook', 'NormRefreshHook',
    'PatienceHook', 'PictureHook', 'PrecisionGateHook', 'RunRecordHook',
    'SemiCheckpointHook'
]
