_base_ = './fixmatch_r101_voc_92.py'
epoch_iters = 1140  # 9118 unlabelled images, 8 an iteration
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt')))
