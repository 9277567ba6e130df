_base_ = './pcr_r101_voc_366.py'
# Settings of the authors' config file where the paper has others: OHEM on the
# labelled images. As in U2PL's code, which theirs extends, padding counts as
# background in labelled images and gets pseudo-labels in unlabelled ones.
model = dict(
    label_padding=True,
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1., thresh=0.7, min_kept=100_000)
        ])))
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
