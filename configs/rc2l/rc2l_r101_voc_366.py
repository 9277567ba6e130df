_base_ = [
    '../_base_/protocols/voc.py',
    '../_base_/models/deeplabv3plus-queries_r101.py',
    '../_base_/datasets/voc12_weak.py', '../_base_/algorithms/rc2l.py',
    '../_base_/schedules/adamw_maskformer.py', '../_base_/semi_runtime.py'
]
# MaskFormer's queries on the published decoder, and its optimizer: SGD does
# not train a transformer.
epoch_iters = (_base_.protocol.images - 366 + 3) // 4 // 4  # 638
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(rc2l=dict(loss_weight=2.0)))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['366']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
