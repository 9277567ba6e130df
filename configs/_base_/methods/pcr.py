# PCR for any model and data: prototypes are clustered within the training.
_base_ = [
    '../algorithms/pcr.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(burn_in=1 / 80, terms=dict(supervised=dict(criterion=None)))
