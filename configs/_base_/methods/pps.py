# PPS for any model and data: heads become pixel decoders of prototypes.
_base_ = [
    '../algorithms/pps.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(terms=dict(supervised=dict(criterion=None)))
