_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/brpg.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: losses as in the authors' code, fewer pixels are
# sampled from fewer pixels, the stages are shorter, every batch is mixed, and
# the teacher shares the student's BatchNorm statistics, which spares its
# second forward.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    buffers='copy',
    mixing=dict(prob=1.0),
    terms=dict(
        supervised=dict(criterion=[
            dict(type='cross_entropy', weight=0.5),
            dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100000)
        ]),
        consistency=dict(normalizer='kept_boost', entropy_view='weak'),
        brpg=dict(
            head=dict(in_channels=96, channels=48, norm_cfg=dict(type='BN')),
            window=(600, 1000),
            capacity=2000,
            samples_per_image=256,
            cells=16,
            draws_per_image=256)))
