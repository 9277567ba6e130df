_base_ = [
    '../_base_/protocols/voc.py', '../_base_/models/deeplabv3plus_r101-cps.py',
    '../_base_/datasets/voc12_cps.py', '../_base_/algorithms/cross_pseudo.py',
    '../_base_/schedules/sgd_cps.py', '../_base_/student_runtime.py'
]
# The length of the training is not stated, this is that of 662 labels.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=39680)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['183']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
