_base_ = './pps_r101_voc_662.py'
epoch_iters = 992  # (10582 - 10582 // 4) // 8 images, as CPS counts
train_cfg = dict(max_iters=40 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-cps-2646.txt')))
