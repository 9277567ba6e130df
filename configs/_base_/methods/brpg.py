# BRPG for any model and data: one epoch of 80 of labelled images alone.
_base_ = [
    '../algorithms/brpg.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(burn_in=1 / 80, terms=dict(supervised=dict(criterion=None)))
