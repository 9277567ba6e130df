_base_ = './voc12.py'
# The augmentation of UniMatch's code with one strong view: labelled and
# unlabelled images follow one law.
crop_size = _base_.crop_size
branches = ['sup', 'unsup_teacher', 'unsup_student']
strong = [
    dict(type='SemiColorJitter'),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.299)),
    dict(type='RandomGaussianBlur'),
    dict(type='PackSemiInputs')
]
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
    dict(type='RandomLongSideResize', low=0.5, high=2.),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomLongSideResize', low=0.5, high=2.),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')],
        unsup_student=strong)
]
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(8, 8)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
