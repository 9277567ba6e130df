_base_ = [
    '../_base_/protocols/city-cps.py',
    '../_base_/models/deeplabv3plus_r101-unimatch.py',
    '../_base_/datasets/cityscapes_unimatch.py',
    '../_base_/algorithms/unimatch.py', '../_base_/schedules/sgd_cityscapes.py',
    '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (_base_.protocol.images - 372 + 3) // 4 // 2  # 325
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=0.5, thresh=0.7, min_kept=200000)
        ]),
        strong1=dict(threshold=0.0),
        strong2=dict(threshold=0.0),
        features=dict(threshold=0.0)))
optim_wrapper = dict(optimizer=dict(weight_decay=0.0001))
train_cfg = dict(max_iters=240 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['372'])))
