_base_ = ['./pcr_r101_voc_366.py', '../_base_/protocols/eval_padded-513.py']
# Settings of the authors' config file where the paper has others: the power of
# the schedule, OHEM on labelled images. As in U2PL's code, which theirs
# extends, padding counts as class 0 in labelled images and gets pseudo-labels
# in unlabelled ones.
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_dataloader = val_dataloader
tta_pipeline = _base_.eval_tta_pipeline
model = dict(
    label_padding=True,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1.0, thresh=0.7, min_kept=100000)
        ])))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, by_epoch=False)
]
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
