_base_ = [
    '../_base_/models/maskformer_r101-50q-coco_city.py',
    '../_base_/datasets/cityscapes_rc2l.py', '../_base_/methods/rc2l.py',
    '../_base_/schedules/adamw_maskformer.py', '../_base_/semi_runtime.py'
]
model = dict(segmentor=_base_.segmentor, terms=dict(rc2l=dict(loss_weight=1.)))
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cps-372.txt')))
