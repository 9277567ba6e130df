# Copyright (c) mmseg_semi authors.
from .checkpoint_hook import SemiCheckpointHook
from .ema_teacher_hook import EMATeacherHook
from .memory_bank_hook import MemoryBankHook
from .run_record_hook import RunRecordHook

__all__ = [
    'EMATeacherHook', 'MemoryBankHook', 'RunRecordHook', 'SemiCheckpointHook'
]
