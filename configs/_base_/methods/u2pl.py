# U2PL for any model and data.
_base_ = [
    '../algorithms/u2pl.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(burn_in=1 / 80, terms=dict(supervised=dict(criterion=None)))
