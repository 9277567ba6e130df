_base_ = [
    '../_base_/models/deeplabv3plus-prototypes_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/pps.py',
    '../_base_/schedules/adamw_3k_queries.py', '../_base_/student_runtime.py'
]
# Against the VOC configs: a small decoder; labels alone for 300 iterations, as
# long as the network knows nothing; the strong view has its colours changed;
# the next image of the batch is pasted, which spares the passes on a second
# batch; the contrast weighs a fifth, as with 0.5 it costs 2.8 points.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    halves=False,
    terms=dict(
        pps=dict(
            head=dict(in_channels=48, channels=32),
            contrast_weight=0.1,
            samples=32)))
