_base_ = './pps_r101_city_186.py'
epoch_iters = 325  # (2975 - 2975 // 8) // 8 images, as CPS counts
train_cfg = dict(max_iters=137 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cps-372.txt')))
