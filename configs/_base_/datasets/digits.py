# DigitScenes, written by tools/dataset_converters/digit_scenes.py.
dataset_type = 'DigitScenesDataset'
data_root = 'data/DigitScenes'
num_classes = 11
data_prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
branches = ['sup', 'unsup_teacher', 'unsup_student']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=num_classes),
    dict(type='RandomShift', max_shift=6),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomShift', max_shift=6),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')],
        unsup_student=[
            dict(type='SemiColorJitter'),
            dict(
                type='RandomGrayscale',
                prob=0.2,
                keep_channels=True,
                channel_weights=(0.114, 0.587, 0.299)),
            dict(type='RandomGaussianBlur'),
            dict(type='PackSemiInputs')
        ])
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=r, keep_ratio=True)
                for r in (1., 1.25)
            ],
            [dict(type='RandomFlip', prob=0.)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='SemiSampler', counts=(8, 8)),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        type='SemiSegDataset',
        val_ann_file='ImageSets/Segmentation/val.txt',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=data_prefix,
            ann_file='ImageSets/Semi/digits-50.txt',
            pipeline=train_pipeline),
        unlabeled=dict(
            type='UnlabeledSegDataset',
            data_root=data_root,
            data_prefix=dict(img_path='JPEGImages'),
            ann_file='ImageSets/Segmentation/train.txt',
            pipeline=unlabeled_pipeline)))
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='PerImageIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
