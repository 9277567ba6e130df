_base_ = [
    '../_base_/protocols/voc-blended-cps.py',
    '../_base_/models/deeplabv3plus-prototypes_r101-cps.py',
    '../_base_/datasets/voc12_cps.py', '../_base_/algorithms/pps.py',
    '../_base_/schedules/sgd_pps.py', '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
segmentor.decode_head.num_queries = 5 * _base_.num_classes  # of every class
epoch_iters = (10582 - 10582 // 2) // 8  # 661, as CPS counts
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=60 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['5291']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
