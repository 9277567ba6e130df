_base_ = [
    '../_base_/models/deeplabv2_r101_city.py',
    '../_base_/datasets/cityscapes_cmb-half.py', '../_base_/methods/cmb.py',
    '../_base_/schedules/sgd_cmb.py', '../_base_/semi_runtime.py'
]
num_labeled = 200
model = dict(
    segmentor=_base_.segmentor,
    terms=dict(
        # about one pass over the labelled and the unlabelled images
        class_balance=dict(
            windows=(num_labeled // 5, (2975 - num_labeled) // 2)),
        cmb=dict(
            head=dict(in_channels=2048),
            num_labeled=num_labeled,
            rows_per_image='city')))
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cmb0-200.txt')))
