_base_ = [
    '../_base_/models/segformer_b4.py', '../_base_/datasets/voc12.py',
    '../_base_/methods/supervised.py',
    '../_base_/schedules/adamw_segformer.py', '../_base_/semi_runtime.py'
]
# As many iterations as the semi-supervised methods on these labels.
epoch_iters = 638  # 10216 unlabelled images, 16 an iteration
model = dict(segmentor=_base_.segmentor)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(counts=(4, 0)),
    dataset=dict(
        unlabeled=None,
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-366.txt')))
