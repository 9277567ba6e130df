_base_ = './voc12.py'
# Crops alone: what varies the images comes on the device, in the method.
crop_size = 321
branches = ['sup', 'unsup_teacher']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
train_dataloader = dict(
    batch_size=21,
    sampler=dict(counts=(14, 7)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
