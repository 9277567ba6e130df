_base_ = [
    '../_base_/models/deeplabv3plus_r101-os16_city.py',
    '../_base_/datasets/cityscapes_unimatch.py',
    '../_base_/methods/unimatch.py', '../_base_/schedules/sgd_cityscapes.py',
    '../_base_/student_runtime.py'
]
epoch_iters = 349  # 2789 unlabelled images, 8 an iteration
model = dict(
    segmentor=_base_.segmentor,
    test_cfg=dict(mode='slide', crop_size=(801, 801), stride=(534, 534)),
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=0.5, thresh=0.7, min_kept=200_000)
        ]),
        strong1=dict(threshold=0.),
        strong2=dict(threshold=0.),
        features=dict(threshold=0.)))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_cfg = dict(max_iters=240 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-186.txt')))
