_base_ = [
    '../_base_/protocols/city-cps.py',
    '../_base_/models/deeplabv3plus_r101-cps.py',
    '../_base_/datasets/cityscapes_cps.py',
    '../_base_/algorithms/cross_pseudo.py', '../_base_/schedules/sgd_cps.py',
    '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (2975 - 2975 // 4) // 8  # 279, as CPS counts
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1.0, thresh=0.7, min_kept=50000)
        ]),
        consistency=dict(loss_weight=5.0)))
optim_wrapper = dict(optimizer=dict(weight_decay=0.0008))
train_cfg = dict(max_iters=160 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['744'])))
