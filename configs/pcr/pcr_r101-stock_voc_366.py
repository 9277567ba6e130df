_base_ = [
    '../_base_/models/deeplabv3plus_r101-stock.py',
    '../_base_/datasets/voc12_weak.py', '../_base_/methods/pcr.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
epoch_iters = 638  # 10216 unlabelled images, 16 an iteration
model = dict(
    segmentor=_base_.segmentor,
    strong_copies=1,
    burn_in=epoch_iters,
    terms=dict(
        pcr=dict(
            head=dict(in_channels=560, full_resolution=True),
            # of tools/misc/init_prototypes.py; None samples in the window
            prototypes='data/prototypes/pcr_r101-stock_voc_366.pth',
            window=(epoch_iters // 2, epoch_iters))))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-366.txt')))
