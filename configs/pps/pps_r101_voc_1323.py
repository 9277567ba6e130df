_base_ = './pps_r101_voc_662.py'
epoch_iters = 1157  # (10582 - 10582 // 8) // 8 images, as CPS counts
train_cfg = dict(max_iters=34 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-cps-1323.txt')))
