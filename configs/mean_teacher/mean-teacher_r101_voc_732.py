_base_ = [
    '../_base_/protocols/voc.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/voc12_strong.py', '../_base_/algorithms/mean_teacher.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
epoch_iters = (_base_.protocol.images - 732 + 3) // 4 // 4  # 615
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor, test_cfg=_base_.inference, burn_in=epoch_iters)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['732']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
