_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/u2pl.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: 11 classes and smaller queues, fewer negatives, the
# strong view has its colours changed, every batch is mixed, and the teacher
# shares the student's BatchNorm statistics.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    buffers='copy',
    mixing=dict(prob=1.0),
    terms=dict(
        u2pl=dict(
            head=dict(in_channels=96, channels=48, norm_cfg=dict(type='BN')),
            num_negatives=64,
            ranks=(3, 10),
            capacity=(4000, 2000),
            keys_per_image=8)))
