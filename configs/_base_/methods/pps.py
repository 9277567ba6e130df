# PPS for any model and data: heads become pixel decoders of prototypes.
_base_ = [
    '../algorithms/pps.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
# What the networks must share is shared; the projector has the width it reads.
model = dict(
    shared=(),
    terms=dict(
        supervised=dict(criterion=None), pps=dict(head=dict(_delete_=True))))
