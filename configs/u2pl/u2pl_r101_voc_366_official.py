_base_ = ['./u2pl_r101_voc_366.py', '../_base_/protocols/eval_padded-513.py']
# The mechanics of the authors' code: more anchors, fewer negatives, the weight
# 1, its indexing of classes, rules per GPU; padding counts as class 0 in
# labelled images and gets pseudo-labels in unlabelled ones.
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_dataloader = val_dataloader
tta_pipeline = _base_.eval_tta_pipeline
model = dict(fidelity='official', label_padding=True)
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
