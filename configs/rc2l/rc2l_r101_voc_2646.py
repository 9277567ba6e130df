_base_ = [
    '../_base_/models/maskformer_r101-50q.py',
    '../_base_/datasets/voc12_rc2l.py', '../_base_/methods/rc2l.py',
    '../_base_/schedules/adamw_maskformer.py', '../_base_/semi_runtime.py'
]
# VOC Aug: all 10,582 images.
model = dict(segmentor=_base_.segmentor, terms=dict(rc2l=dict(loss_weight=1.)))
train_cfg = dict(max_iters=160_000)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-cps-2646.txt')))
