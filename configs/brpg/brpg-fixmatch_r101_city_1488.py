_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_strong.py',
    '../_base_/algorithms/brpg_fixmatch.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/student_runtime.py'
]
# Table 10.
epoch_iters = (_base_.protocol.images - 1488 + 3) // 4 // 2  # 186
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        consistency=dict(threshold=0.0),
        brpg=dict(
            head=dict(in_channels=512),
            window=(3 * epoch_iters, 6 * epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['1488'])))
