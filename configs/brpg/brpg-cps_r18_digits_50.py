_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/brpg_cross_pseudo.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/student_runtime.py'
]
# As cps_r18_digits_50.py, with the prototypes of brpg_r18_digits_50.py.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    halves=False,
    terms=dict(
        consistency=dict(loss_weight=1.5),
        brpg=dict(
            head=dict(in_channels=96, channels=48, norm_cfg=dict(type='BN')),
            window=(600, 1000),
            capacity=2000,
            samples_per_image=256,
            cells=16,
            draws_per_image=256)))
