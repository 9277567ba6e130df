_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_weak.py', '../_base_/algorithms/pcr.py',
    '../_base_/schedules/sgd_cityscapes_pcr.py', '../_base_/semi_runtime.py'
]
# The prototypes are made by tools/misc/init_prototypes.py; None clusters them
# in the window.
epoch_iters = (_base_.protocol.images - 1488 + 7) // 8 // 2  # 93
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    burn_in=epoch_iters,
    strong_copies=1,
    terms=dict(
        pcr=dict(
            head=dict(in_channels=512, full_resolution=True),
            prototypes='data/prototypes/pcr-own_r101_city_1488.pth',
            window=(epoch_iters // 2, epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    batch_size=32,
    sampler=dict(counts=(16, 16)),
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['1488'])))
optim_wrapper = dict(optimizer=dict(lr=0.01))
