_base_ = [
    '../_base_/protocols/voc-blended-cps.py',
    '../_base_/models/deeplabv3plus_r101-cps.py',
    '../_base_/datasets/voc12_cps.py', '../_base_/algorithms/supervised.py',
    '../_base_/schedules/sgd_cps.py', '../_base_/semi_runtime.py'
]
# CPS' recipe on the labelled images alone.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (10582 - 10582 // 4) // 8  # 992, as CPS counts
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=40 * epoch_iters)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(counts=(8, 0)),
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['2646']), unlabeled=None))
