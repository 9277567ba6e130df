_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits_cmb.py', '../_base_/algorithms/cmb.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: shorter phases, a faster teacher, and no flip, which
# would turn one digit into another, and colours that change less.
model = dict(
    segmentor=_base_.segmentor,
    momentum=0.99,
    labeled_mixing=dict(background=0),
    mixing=dict(background=0, begin=600),
    augment=dict(
        sup=dict(flip_prob=0.0, color_law='pil'),
        strong=dict(flip_prob=0.0, color_law='pil')),
    terms=dict(
        class_balance=None,
        consistency=dict(ramp=dict(length=600, kind='exp')),
        cmb=dict(
            head=dict(in_channels=48, channels=48),
            num_labeled=50,
            memory_start=300,
            contrast_start=600)))
