_base_ = './semi_runtime.py'
# What else the model needs, a teacher's hook say, is added when it is trained.
custom_hooks = [dict(type='RunRecordHook')]
