_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/methods/brpg.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: fewer pixels are sampled from fewer pixels, the
# stages are shorter, every batch is mixed, and the teacher shares the
# student's BatchNorm statistics, which spares its second forward.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    buffers='copy',
    mixing=dict(prob=1.0),
    terms=dict(
        consistency=dict(entropy_view='weak'),
        brpg=dict(
            head=dict(in_channels=96, channels=48, norm_cfg=dict(type='BN')),
            window=(600, 1000),
            capacity=2000,
            samples_per_image=256,
            cells=16,
            draws_per_image=256)))
