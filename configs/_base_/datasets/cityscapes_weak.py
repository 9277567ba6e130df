_base_ = './cityscapes.py'
# U2PL's and PCR's augmentation: unlabelled images are resized and cropped as
# labelled ones are, and the strong view is a copy of the weak one, made on
# the device (`model.strong_copies=1`), that differs by its mixing alone.
branches = ['sup', 'unsup_teacher']
train_pipeline = _base_.train_pipeline
train_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=769, pad='symmetric'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
# Per GPU, for 4 GPUs: 16 + 16 images in all, see docs/batch_sizes.md.
train_dataloader = dict(
    batch_size=8,
    sampler=dict(counts=(4, 4)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
