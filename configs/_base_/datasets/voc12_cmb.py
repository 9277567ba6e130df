_base_ = './voc12.py'
# PASCAL VOC 2012 as CMB uses it: crops of 321, no resize.
# What varies the images (ClassMix, scale, flip, colours, blur) comes on the
# device, in the method: labelled and unlabelled crops are the plain ones here.
branches = ['sup', 'unsup_teacher']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=21),
    dict(type='RandomPadCrop', crop_size=321, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomPadCrop', crop_size=321, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
# For one GPU, as in the paper. An unlabelled image becomes two strong views.
train_dataloader = dict(
    batch_size=21,
    sampler=dict(counts=(14, 7)),
    dataset=dict(
        labeled=dict(
            ann_file='ImageSets/Semi/voc12-cmb0-212.txt',
            pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
