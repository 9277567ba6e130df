_base_ = [
    '../_base_/protocols/city.py',
    '../_base_/models/deeplabv3plus_r101-aux.py',
    '../_base_/datasets/cityscapes_weak.py', '../_base_/algorithms/supervised.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/semi_runtime.py'
]
# U2PL's recipe, which made the numbers of the tables: OHEM, an auxiliary
# classifier, twice the learning rate of 16 images.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
segmentor.auxiliary_head.num_classes = _base_.num_classes
epoch_iters = (_base_.protocol.images - 1488 + 7) // 8 // 2  # 93
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1.0, thresh=0.7, min_kept=100000)
        ])))
optim_wrapper = dict(optimizer=dict(lr=0.01))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(16, 0)),
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['1488']), unlabeled=None))
