# BRPG on CPS, for any model and data.
_base_ = [
    '../algorithms/brpg_cross_pseudo.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(terms=dict(supervised=dict(criterion=None)))
