_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_strong.py',
    '../_base_/algorithms/supervised.py', '../_base_/schedules/sgd_cityscapes.py',
    '../_base_/semi_runtime.py'
]
# As many iterations as the semi-supervised methods on these labels.
epoch_iters = (_base_.protocol.images - 744 + 3) // 4 // 2  # 279
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(counts=(8, 0)),
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['744']), unlabeled=None))
