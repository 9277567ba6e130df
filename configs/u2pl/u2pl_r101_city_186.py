_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_weak.py', '../_base_/algorithms/u2pl.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/semi_runtime.py'
]
epoch_iters = (_base_.protocol.images - 186 + 3) // 4 // 2  # 349
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
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['186'])))
