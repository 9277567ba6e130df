_base_ = './supervised_r101_city_372.py'
epoch_iters = 279  # 2231 unlabelled images, 8 an iteration
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-744.txt')))
