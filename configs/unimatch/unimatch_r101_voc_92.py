_base_ = [
    '../_base_/models/deeplabv3plus_r101-os16.py',
    '../_base_/datasets/voc12_unimatch.py', '../_base_/methods/unimatch.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/student_runtime.py'
]
epoch_iters = 1311  # 10490 unlabelled images, 8 an iteration
model = dict(segmentor=_base_.segmentor)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/voc12-classic-92.txt')))
