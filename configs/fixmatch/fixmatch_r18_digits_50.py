_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/fixmatch.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/student_runtime.py'
]
# Against the VOC configs: labels alone for 300 iterations, as long as the
# network knows nothing.
model = dict(segmentor=_base_.segmentor, burn_in=300)
