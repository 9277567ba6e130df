_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/pcr.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: prototypes are clustered within the training, fewer
# pixels are sampled from fewer pixels, the strong view has its colours
# changed, every batch is mixed, and the teacher shares the student's BatchNorm
# statistics, which spares its second forward.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    buffers='copy',
    mixing=dict(prob=1.0),
    terms=dict(
        pcr=dict(
            head=dict(in_channels=96),
            window=(200, 300),
            capacity=2000,
            cells=16)))
