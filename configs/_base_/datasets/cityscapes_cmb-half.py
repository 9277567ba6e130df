# Cityscapes at half resolution, as CMB trains and tests DeepLabV2.
# What varies the images (ClassMix, scale, flip, colours, blur) comes on the
# device, in the method: labelled and unlabelled crops are the plain ones here.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
branches = ['sup', 'unsup_teacher']
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=19),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    dict(type='RandomPadCrop', crop_size=512, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    dict(type='RandomPadCrop', crop_size=512, pad='corner'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[[
            dict(type='Resize', scale_factor=r, keep_ratio=True)
            for r in (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
        ], [dict(type='RandomFlip', prob=p) for p in (0., 1.)],
                    [dict(type='LoadAnnotations')],
                    [dict(type='PackSegInputs')]])
]
# For one GPU, as in the paper. An unlabelled image becomes two strong views.
train_dataloader = dict(
    batch_size=7,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', counts=(5, 2)),
    dataset=dict(
        type='SemiSegDataset',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(
                img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            ann_file='ImageSets/Semi/city-cmb0-100.txt',
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
