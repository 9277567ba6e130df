# CutMix-Seg for any model and data.
_base_ = [
    '../algorithms/cutmix_seg.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
model = dict(strong_copies=None, terms=dict(supervised=dict(criterion=None)))
