_base_ = [
    '../_base_/protocols/coco.py',
    '../_base_/models/deeplabv3plus_xception65-unimatch_coco.py',
    '../_base_/datasets/coco81_unimatch.py', '../_base_/algorithms/unimatch.py',
    '../_base_/schedules/sgd_coco_unimatch.py', '../_base_/student_runtime.py'
]
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (_base_.protocol.images - 3697 + 3) // 4 // 2  # 14324
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=30 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['3697'])))
