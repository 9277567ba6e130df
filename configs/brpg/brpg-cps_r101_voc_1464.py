_base_ = './brpg-cps_r101_voc_92.py'
epoch_iters = 1140  # 9118 unlabelled images, 8 an iteration
model = dict(terms=dict(brpg=dict(window=(epoch_iters, 2 * epoch_iters))))
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt')))
