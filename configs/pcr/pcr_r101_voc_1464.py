_base_ = './pcr_r101_voc_366.py'
epoch_iters = 570  # 9118 unlabelled images, 16 an iteration
model = dict(
    burn_in=epoch_iters,
    terms=dict(
        pcr=dict(
            prototypes='data/prototypes/pcr_r101_voc_1464.pth',
            window=(epoch_iters // 2, epoch_iters))))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt')))
