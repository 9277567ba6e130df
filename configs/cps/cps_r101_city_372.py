_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_weak.py',
    '../_base_/algorithms/cross_pseudo.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/student_runtime.py'
]
# The next image of the batch is pasted instead of one of a second batch, so
# that all methods see as many images.
epoch_iters = (_base_.protocol.images - 372 + 3) // 4 // 2  # 325
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    halves=False,
    terms=dict(consistency=dict(loss_weight=5.0)))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['372'])))
