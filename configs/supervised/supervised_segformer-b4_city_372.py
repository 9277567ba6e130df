_base_ = [
    '../_base_/models/segformer_b4_city.py',
    '../_base_/datasets/cityscapes.py', '../_base_/methods/supervised.py',
    '../_base_/schedules/adamw_segformer.py', '../_base_/semi_runtime.py'
]
# As many iterations as the semi-supervised methods on these labels.
epoch_iters = 325  # 2603 unlabelled images, 8 an iteration
model = dict(segmentor=_base_.segmentor)
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(counts=(2, 0)),
    dataset=dict(
        unlabeled=None,
        labeled=dict(ann_file='ImageSets/Semi/city-u2pl-372.txt')))
