_base_ = './semi_runtime.py'
# Without a teacher there is none to average.
custom_hooks = [dict(type='MemoryBankHook'), dict(type='RunRecordHook')]
