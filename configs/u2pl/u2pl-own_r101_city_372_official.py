_base_ = './u2pl-own_r101_city_372.py'
# The mechanics of the authors' code: more anchors, fewer negatives, the weight
# 1, its indexing of classes, rules per GPU; padding counts as class 0 in
# labelled images and gets pseudo-labels in unlabelled ones; OHEM, an auxiliary
# classifier, and pseudo-labels from the first iteration.
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
model = dict(
    fidelity='official',
    label_padding=True,
    burn_in=0,
    segmentor=dict(
        auxiliary_head=dict(
            type='PublishedFCNHead',
            in_channels=1024,
            in_index=2,
            channels=256,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.1,
            num_classes=_base_.num_classes,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            align_corners=True)),
    terms=dict(
        supervised=dict(criterion=[
            dict(type='ohem', weight=1.0, thresh=0.7, min_kept=100000)
        ])))
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
