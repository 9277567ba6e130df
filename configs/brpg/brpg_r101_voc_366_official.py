_base_ = ['./brpg_r101_voc_366.py', '../_base_/protocols/eval_padded-513.py']
# What made the authors' numbers: cross-entropy with OHEM on labelled images,
# pixels / kept pixels as a factor of the consistency, rules per GPU (run it on
# 4), K-means in mini-batches, schedules by epoch, and padding that counts as
# class 0 in labelled images and gets pseudo-labels in unlabelled ones. Add
# --amp.
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_dataloader = val_dataloader
tta_pipeline = _base_.eval_tta_pipeline
model = dict(
    fidelity='official',
    label_padding=True,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='cross_entropy', weight=0.5),
            dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100000)
        ]),
        consistency=dict(
            normalizer='kept_boost', epoch_iters=_base_.epoch_iters),
        brpg=dict(schedule_begin=5 * _base_.epoch_iters)))
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
