_base_ = [
    '../_base_/models/deeplabv3plus_r50.py', '../_base_/datasets/voc12_cmb.py',
    '../_base_/methods/cmb.py', '../_base_/schedules/sgd_cmb.py',
    '../_base_/semi_runtime.py'
]
model = dict(
    segmentor=_base_.segmentor,
    # ClassMix moves the background only if an image has nothing else
    labeled_mixing=dict(background=0),
    mixing=dict(background=0),
    terms=dict(
        class_balance=None,
        cmb=dict(
            head=dict(in_channels=256), num_labeled=530,
            rows_per_image='voc')))
train_dataloader = dict(
    batch_size=30,
    sampler=dict(counts=(20, 10)),
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/voc12-cmb0-530.txt')))
optim_wrapper = dict(optimizer=dict(lr=4e-4))
