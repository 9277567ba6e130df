_base_ = [
    '../_base_/models/mask-query_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/supervised.py',
    '../_base_/schedules/adamw_4k_mask-query.py', '../_base_/semi_runtime.py'
]
# MaskFormer's own loss: the baseline of RC2L.
model = dict(
    segmentor=_base_.segmentor, terms=dict(supervised=dict(criterion=None)))
train_dataloader = dict(
    batch_size=8, sampler=dict(counts=(8, 0)), dataset=dict(unlabeled=None))
