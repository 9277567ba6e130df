_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/cross_pseudo.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/student_runtime.py'
]
# Against the VOC configs: labels alone for 300 iterations, as long as the
# network knows nothing; the strong view has its colours changed; the next
# image of the batch is pasted, which spares the passes on a second batch; its
# labels weigh as much as without CutMix.
model = dict(
    segmentor=_base_.segmentor,
    burn_in=300,
    halves=False,
    terms=dict(consistency=dict(loss_weight=1.5)))
