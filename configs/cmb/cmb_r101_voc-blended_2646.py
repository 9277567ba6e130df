_base_ = [
    '../_base_/protocols/voc-blended.py',
    '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/voc12_plain.py', '../_base_/algorithms/cmb.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
# ClassMix moves the background only if an image has nothing else.
epoch_iters = (_base_.protocol.images - 2646 + 3) // 4 // 4  # 496
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    labeled_mixing=dict(background=0),
    mixing=dict(background=0),
    terms=dict(
        cmb=dict(
            head=dict(in_channels=256), num_labeled=2646,
            rows_per_image='voc'),
        class_balance=None))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['2646']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
