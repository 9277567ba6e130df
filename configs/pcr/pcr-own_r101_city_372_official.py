_base_ = './pcr-own_r101_city_372.py'
# Settings of the authors' config file where the paper has others: the power of
# the schedule, OHEM on labelled images, three prototypes, a lower threshold,
# an auxiliary classifier. As in U2PL's code, which theirs extends, padding
# counts as class 0 in labelled images and gets pseudo-labels in unlabelled
# ones.
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
model = dict(
    label_padding=True,
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
        ]),
        consistency=dict(threshold=0.65),
        pcr=dict(
            num_prototypes=3,
            threshold=0.65,
            prototypes='data/prototypes/pcr-own_r101_city_372_official.pth')))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, by_epoch=False)
]
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
