_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/methods/brpg.py',
    '../_base_/schedules/adamw_4k_digits.py', '../_base_/semi_runtime.py'
]
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    terms=dict(
        brpg=dict(
            head=dict(
                in_channels=128, channels=64, norm_cfg=dict(type='BN')),
            window=(600, 1200),
            capacity=2000,
            samples_per_image=256,
            cells=16,
            draws_per_image=256)))
