_base_ = [
    '../_base_/models/deeplabv3plus-prototypes_r101.py',
    '../_base_/datasets/voc12_cps.py', '../_base_/methods/pps.py',
    '../_base_/schedules/sgd_cps.py', '../_base_/student_runtime.py'
]
epoch_iters = 1240  # (10582 - 10582 // 16) // 8 images, as CPS counts
model = dict(segmentor=_base_.segmentor)
train_cfg = dict(max_iters=32 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-cps-662.txt')))
