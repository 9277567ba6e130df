_base_ = [
    '../_base_/models/deeplabv3plus_r101-os16.py',
    '../_base_/datasets/voc12_cps.py',
    '../_base_/methods/brpg_cross_pseudo.py', '../_base_/schedules/sgd_cps.py',
    '../_base_/student_runtime.py'
]
# Table 10. The paper does not say how it trained this: data, losses and length
# are those of cps_r101_voc_662.py, the window that of brpg_r101_voc_92.py.
epoch_iters = 1311  # 10490 unlabelled images, 8 an iteration
model = dict(
    segmentor=_base_.segmentor,
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
    terms=dict(
        brpg=dict(
            head=dict(in_channels=304),
            # sampling in epoch 1, counted from 0
            window=(epoch_iters, 2 * epoch_iters))))
train_cfg = dict(max_iters=39_680)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/voc12-classic-92.txt')))
