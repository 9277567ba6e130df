_base_ = [
    '../_base_/protocols/voc-cmb.py', '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/voc12_cmb.py', '../_base_/algorithms/cmb.py',
    '../_base_/schedules/sgd_cmb.py', '../_base_/semi_runtime.py'
]
# ClassMix moves the background only if an image has nothing else.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    labeled_mixing=dict(background=0),
    mixing=dict(background=0),
    terms=dict(
        cmb=dict(
            head=dict(in_channels=2048),
            num_labeled=1323,
            rows_per_image='voc'),
        class_balance=None))
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['1323']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
