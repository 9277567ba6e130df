_base_ = './voc12.py'
# CPS' augmentation: flip, one of six scales, crop; no colours. Labelled and
# unlabelled images follow one law, and the networks learn the images they
# label, mixed on the device. In all 8 labelled and 8 + 8 unlabelled images,
# one half of the latter to be pasted into the other.
crop_size = 512
branches = ['sup', 'unsup_teacher']
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=s, keep_ratio=True)]
                    for s in (0.5, 0.75, 1., 1.5, 1.75, 2.)]),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='symmetric')
]
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
    dict(type='InitValidMap'), *augmentation,
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'), *augmentation,
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
inference = dict(
    mode='slide', crop_size=(512, 512), stride=(342, 342), pad_to_crop=True)
train_dataloader = dict(
    batch_size=24,
    sampler=dict(counts=(8, 16)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
