_base_ = [
    '../_base_/protocols/voc-blended.py',
    '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/voc12_weak.py', '../_base_/algorithms/pcr.py',
    '../_base_/schedules/sgd_voc12_pcr.py', '../_base_/semi_runtime.py'
]
# The prototypes are made by tools/misc/init_prototypes.py; None clusters them
# in the window.
epoch_iters = (_base_.protocol.images - 2646 + 3) // 4 // 4  # 496
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
            prototypes='data/prototypes/pcr_r101_voc-blended_2646.pth',
            window=(epoch_iters // 2, epoch_iters))))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['2646']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
