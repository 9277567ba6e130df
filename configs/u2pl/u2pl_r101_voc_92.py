_base_ = [
    '../_base_/protocols/voc.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/voc12_weak.py', '../_base_/algorithms/u2pl.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
epoch_iters = (_base_.protocol.images - 92 + 3) // 4 // 4  # 655
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    burn_in=epoch_iters,
    strong_copies=1,
    terms=dict(
        consistency=dict(epoch_iters=epoch_iters),
        u2pl=dict(head=dict(in_channels=512), epoch_iters=epoch_iters)))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['92']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
