_base_ = [
    '../_base_/models/maskformer_r101-50q.py',
    '../_base_/datasets/voc12_rc2l.py', '../_base_/methods/rc2l.py',
    '../_base_/schedules/adamw_maskformer.py', '../_base_/semi_runtime.py'
]
# VOC Train: the unlabelled images are the rest of the 1,464.
model = dict(segmentor=_base_.segmentor, terms=dict(rc2l=dict(loss_weight=2.)))
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-pseudoseg-1_2.txt'),
        unlabeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt')))
