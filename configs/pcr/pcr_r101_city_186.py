_base_ = './pcr_r101_city_372.py'
epoch_iters = 174  # 2789 unlabelled images, 16 an iteration
model = dict(
    burn_in=epoch_iters,
    terms=dict(
        pcr=dict(
            prototypes='data/prototypes/pcr_r101_city_186.pth',
            window=(epoch_iters // 2, epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-186.txt')))
