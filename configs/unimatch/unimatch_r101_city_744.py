_base_ = './unimatch_r101_city_186.py'
epoch_iters = 279  # 2231 unlabelled images, 8 an iteration
train_cfg = dict(max_iters=240 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-744.txt')))
