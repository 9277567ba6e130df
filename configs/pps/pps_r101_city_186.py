_base_ = [
    '../_base_/models/deeplabv3plus-prototypes_r101_city.py',
    '../_base_/datasets/cityscapes_cps.py', '../_base_/methods/pps.py',
    '../_base_/schedules/sgd_cps.py', '../_base_/student_runtime.py'
]
epoch_iters = 348  # (2975 - 2975 // 16) // 8 images, as CPS counts
model = dict(segmentor=_base_.segmentor)
optim_wrapper = dict(optimizer=dict(weight_decay=8e-4))
train_cfg = dict(max_iters=128 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cps-186.txt')))
