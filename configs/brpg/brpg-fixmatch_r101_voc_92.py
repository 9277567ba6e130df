_base_ = [
    '../_base_/models/deeplabv3plus_r101-os16.py',
    '../_base_/datasets/voc12_fixmatch.py',
    '../_base_/methods/brpg_fixmatch.py', '../_base_/schedules/sgd_voc12.py',
    '../_base_/student_runtime.py'
]
# Table 10. The paper does not say how it trained this: data, losses and length
# are those of fixmatch_r101_voc_92.py, the window that of brpg_r101_voc_92.py.
epoch_iters = 1311  # 10490 unlabelled images, 8 an iteration
model = dict(
    segmentor=_base_.segmentor,
    terms=dict(
        brpg=dict(
            head=dict(in_channels=304),
            # sampling in epoch 1, counted from 0
            window=(epoch_iters, 2 * epoch_iters))))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/voc12-classic-92.txt')))
