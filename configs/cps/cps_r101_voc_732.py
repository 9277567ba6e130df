_base_ = [
    '../_base_/protocols/voc.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/voc12_weak.py', '../_base_/algorithms/cross_pseudo.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/student_runtime.py'
]
# The next image of the batch is pasted instead of one of a second batch, so
# that all methods see as many images.
epoch_iters = (_base_.protocol.images - 732 + 3) // 4 // 4  # 615
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(segmentor=segmentor, test_cfg=_base_.inference, halves=False)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['732']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
