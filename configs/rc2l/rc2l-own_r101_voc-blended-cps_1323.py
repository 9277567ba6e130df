_base_ = [
    '../_base_/protocols/voc-blended-cps.py',
    '../_base_/models/maskformer_r101-50q.py',
    '../_base_/datasets/voc12_rc2l.py', '../_base_/algorithms/rc2l.py',
    '../_base_/schedules/adamw_maskformer.py', '../_base_/semi_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(rc2l=dict(loss_weight=1.0)))
train_cfg = dict(max_iters=160000)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['1323']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
