_base_ = './cityscapes.py'
# MaskFormer's augmentation: the short side becomes 0.5 to 2 times 1024, crop,
# colours, flip. Labelled and unlabelled images follow one law, and the strong
# view is a copy of the weak one, made on the device (`model.strong_copies=1`),
# that differs by its mixing alone.
branches = ['sup', 'unsup_teacher']
augmentation = [
    dict(
        type='RandomChoiceResize',
        scales=[int(1024 * x * 0.1) for x in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=4096),
    dict(type='RandomPadCrop', crop_size=768, pad='corner'),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5)
]
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=19), *augmentation,
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
# Per GPU, for 4 GPUs: 8 + 8 images in all. The paper used 8 GPUs; with one
# unlabelled image each, CutMix would have nothing to paste.
train_dataloader = dict(
    batch_size=4,
    sampler=dict(counts=(2, 2)),
    dataset=dict(
        labeled=dict(
            ann_file='ImageSets/Semi/city-cps-372.txt',
            pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
