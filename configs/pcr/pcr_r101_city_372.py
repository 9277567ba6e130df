_base_ = [
    '../_base_/models/deeplabv3plus_r101-aux_city.py',
    '../_base_/datasets/cityscapes_weak.py', '../_base_/methods/pcr.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/semi_runtime.py'
]
epoch_iters = 162  # 2603 unlabelled images, 16 an iteration
# OHEM, three prototypes and the threshold are the authors' settings; the
# paper prints cross-entropy, four and 0.8 for both data sets.
model = dict(
    segmentor=_base_.segmentor,
    strong_copies=1,
    burn_in=epoch_iters,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1., thresh=0.7, min_kept=100_000)
        ]),
        consistency=dict(threshold=0.65),
        pcr=dict(
            head=dict(in_channels=512, full_resolution=True),
            # of tools/misc/init_prototypes.py; None samples in the window
            prototypes='data/prototypes/pcr_r101_city_372.pth',
            num_prototypes=3,
            threshold=0.65,
            window=(epoch_iters // 2, epoch_iters))))
optim_wrapper = dict(optimizer=dict(lr=1e-2))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-372.txt')))
