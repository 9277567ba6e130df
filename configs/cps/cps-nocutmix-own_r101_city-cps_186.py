_base_ = [
    '../_base_/protocols/city-cps.py',
    '../_base_/models/deeplabv3plus_r101-cps.py',
    '../_base_/datasets/cityscapes_cps.py',
    '../_base_/algorithms/cross_pseudo.py', '../_base_/schedules/sgd_cps.py',
    '../_base_/student_runtime.py'
]
# Without CutMix: no second batch, and the labelled images have cross labels
# too.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (2975 - 2975 // 16) // 8  # 348, as CPS counts
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    mixing=None,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1.0, thresh=0.7, min_kept=50000)
        ]),
        consistency=dict(loss_weight=6.0)))
optim_wrapper = dict(optimizer=dict(weight_decay=0.0008))
train_cfg = dict(max_iters=128 * epoch_iters)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(8, 8)),
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['186'])))
