_base_ = './brpg_segformer-b4_city_372.py'
epoch_iters = 186  # 1487 unlabelled images, 8 an iteration
model = dict(
    burn_in=epoch_iters,
    terms=dict(brpg=dict(window=(3 * epoch_iters, 6 * epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-1488.txt')))
