# RC2L for any model and data: heads become pixel decoders of queries.
_base_ = [
    '../algorithms/rc2l.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(strong_copies=None, burn_in=1 / 20)
