# PASCAL VOC 2012 with the SBD masks, one folder `SegmentationClassAug` with
# the masks of all 10,582 training images. BRPG's augmentation: labelled and
# unlabelled images follow different resize and padding laws.
dataset_type = 'PascalVOCDataset'
data_root = 'data/VOCdevkit/VOC2012'
branches = ['sup', 'unsup_teacher', 'unsup_student']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=21),
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=513, pad='symmetric'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='RandomLongSideResize', low=0.5, high=2.),
    dict(type='RandomPadCrop', crop_size=513, pad='corner'),
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
# Per GPU, for 4 GPUs: 16 + 16 images in all, see docs/batch_sizes.md.
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', counts=(4, 4)),
    dataset=dict(
        type='SemiSegDataset',
        val_ann_file='ImageSets/Segmentation/val.txt',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(
                img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
            ann_file='ImageSets/Semi/voc12-classic-366.txt',
            pipeline=train_pipeline),
        unlabeled=dict(
            type='UnlabeledSegDataset',
            data_root=data_root,
            data_prefix=dict(img_path='JPEGImages'),
            ann_file='ImageSets/Semi/voc12-trainaug.txt',
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
            img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
