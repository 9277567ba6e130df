_base_ = [
    '../_base_/models/deeplabv3plus_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/supervised.py',
    '../_base_/schedules/adamw_3k_digits.py', '../_base_/semi_runtime.py'
]
model = dict(
    segmentor=_base_.segmentor,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='cross_entropy', weight=0.5),
            dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100000)
        ])))
train_dataloader = dict(
    batch_size=8, sampler=dict(counts=(8, 0)), dataset=dict(unlabeled=None))
