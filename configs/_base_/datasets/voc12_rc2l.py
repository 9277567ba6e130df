_base_ = './voc12.py'
# MaskFormer's augmentation: the short side becomes 0.5 to 2 times 512,
# crop, colours, flip. Labelled and unlabelled images follow one law, and the
# strong view is a copy of the weak one, made on the device
# (`model.strong_copies=1`), that differs by its mixing alone.
crop_size = 512
branches = ['sup', 'unsup_teacher']
augmentation = [
    dict(
        type='RandomChoiceResize',
        scales=[int(512 * x * 0.1) for x in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=2048),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5)
]
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
    *augmentation,
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
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(8, 8)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
