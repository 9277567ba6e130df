_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/deeplabv3plus_r101.py',
    '../_base_/datasets/cityscapes_plain.py', '../_base_/algorithms/cmb.py',
    '../_base_/schedules/sgd_cityscapes.py', '../_base_/semi_runtime.py'
]
# The class weights follow about one pass over the labelled and one over the
# unlabelled images.
epoch_iters = (_base_.protocol.images - 372 + 3) // 4 // 2  # 325
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        cmb=dict(
            head=dict(in_channels=256), num_labeled=372,
            rows_per_image='city'),
        class_balance=dict(windows=(46, 325))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['372'])))
