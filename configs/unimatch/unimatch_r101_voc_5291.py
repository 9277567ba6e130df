_base_ = './unimatch_r101_voc_92.py'
epoch_iters = 661  # 5291 unlabelled images, 8 an iteration
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-u2pl-5291.txt')))
