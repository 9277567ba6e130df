_base_ = [
    '../_base_/models/deeplabv3plus_r101-os16_city.py',
    '../_base_/datasets/cityscapes_cps.py',
    '../_base_/methods/cross_pseudo.py', '../_base_/schedules/sgd_cps.py',
    '../_base_/student_runtime.py'
]
epoch_iters = 348  # (2975 - 2975 // 16) // 8 images, as CPS counts
model = dict(
    segmentor=_base_.segmentor,
    test_cfg=dict(mode='slide', crop_size=(800, 800), stride=(533, 533)),
    terms=dict(
        # 50,000 for each of the two labelled images of a GPU
        supervised=dict(criterion=[
            dict(type='ohem', weight=1., thresh=0.7, min_kept=100_000)
        ]),
        consistency=dict(loss_weight=5.)))
optim_wrapper = dict(optimizer=dict(weight_decay=8e-4))
train_cfg = dict(max_iters=128 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cps-186.txt')))
