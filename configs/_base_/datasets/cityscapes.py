# Cityscapes; every image of leftImg8bit/train that is not labelled is
# unlabelled. BRPG's augmentation as on VOC, with crops of 769.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
branches = ['sup', 'unsup_teacher', 'unsup_student']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=19),
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=769, pad='symmetric'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomLongSideResize', low=0.5, high=2.),
    dict(type='RandomPadCrop', crop_size=769, pad='corner'),
    dict(type='RandomFlip', prob=0.5),
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
        transforms=[[
            dict(type='Resize', scale_factor=r, keep_ratio=True)
            for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
        ], [dict(type='RandomFlip', prob=p) for p in (0., 1.)],
                    [dict(type='LoadAnnotations')],
                    [dict(type='PackSegInputs')]])
]
# Per GPU, for 4 GPUs: 8 + 8 images in all, see docs/batch_sizes.md.
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', counts=(2, 2)),
    dataset=dict(
        type='SemiSegDataset',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(
                img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            ann_file='ImageSets/Semi/city-u2pl-372.txt',
            pipeline=train_pipeline),
        unlabeled=dict(
            type='UnlabeledSegDataset',
            data_root=data_root,
            data_prefix=dict(img_path='leftImg8bit/train'),
            pipeline=unlabeled_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
