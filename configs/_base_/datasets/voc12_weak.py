_base_ = './voc12.py'
# U2PL's augmentation: unlabelled images are resized and cropped as labelled
# ones are, and the strong view is a copy of the weak one, made on the device
# (`model.strong_copies=1`), that differs by its mixing alone.
crop_size = _base_.crop_size
branches = ['sup', 'unsup_teacher']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='symmetric'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='symmetric'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
train_dataloader = dict(
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
