_base_ = './supervised_segformer-b4_voc_366.py'
epoch_iters = 650  # 10399 unlabelled images, 16 an iteration
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-183.txt')))
