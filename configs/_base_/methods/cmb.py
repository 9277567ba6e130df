# CMB for any model and data.
_base_ = [
    '../algorithms/cmb.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
# Memory, contrast, ramp and mixing begin where they do in a training of its
# length; the strong view is the data's, or a copy of the weak one.
model = dict(
    strong_copies=None,
    mixing=dict(begin=1 / 40),
    terms=dict(
        class_balance=None,  # it weighs a cross-entropy, not any loss
        supervised=dict(criterion=None),
        consistency=dict(ramp=dict(length=None)),
        cmb=dict(memory_start=None, contrast_start=None)))
