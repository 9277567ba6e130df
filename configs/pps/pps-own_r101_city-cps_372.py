_base_ = [
    '../_base_/protocols/city-cps.py',
    '../_base_/models/deeplabv3plus-prototypes_r101-cps.py',
    '../_base_/datasets/cityscapes_cps.py', '../_base_/algorithms/pps.py',
    '../_base_/schedules/sgd_pps.py', '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
segmentor.decode_head.num_queries = 7 * _base_.num_classes  # of every class
epoch_iters = (2975 - 2975 // 8) // 8  # 325, as CPS counts
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_iters=137 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['372'])))
