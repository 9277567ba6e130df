# BRPG on FixMatch, for any model and data.
_base_ = [
    '../algorithms/brpg_fixmatch.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(terms=dict(supervised=dict(criterion=None, loss_weight=0.5)))
