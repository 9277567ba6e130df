_base_ = [
    '../_base_/protocols/voc-blended-cps.py',
    '../_base_/models/deeplabv3plus_r101-unimatch.py',
    '../_base_/datasets/voc12_fixmatch.py', '../_base_/algorithms/fixmatch.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (_base_.protocol.images - 2646 + 3) // 4 // 2  # 992
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['2646']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
