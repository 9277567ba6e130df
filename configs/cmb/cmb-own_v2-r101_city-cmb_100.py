_base_ = [
    '../_base_/protocols/city-cmb.py',
    '../_base_/models/deeplabv2_r101_city.py',
    '../_base_/datasets/cityscapes_cmb-half.py', '../_base_/algorithms/cmb.py',
    '../_base_/schedules/sgd_cmb.py', '../_base_/semi_runtime.py'
]
# The class weights follow about one pass over the labelled and one over the
# unlabelled images.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        cmb=dict(
            head=dict(in_channels=2048),
            num_labeled=100,
            rows_per_image='city'),
        class_balance=dict(windows=(20, 1437))))
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['100'])))
