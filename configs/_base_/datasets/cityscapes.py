# Cityscapes; every image of leftImg8bit/train that is not labelled is
# unlabelled. What is here is the same for all methods; a cityscapes_*.py adds
# pipelines, a file of protocols/ the lists.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
num_classes = 19
crop_size = 769
inference = dict(
    mode='slide', crop_size=(crop_size, crop_size), stride=(513, 513))
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
# Images of one iteration over all processes, see docs/batch_sizes.md.
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', counts=(8, 8)),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        type='SemiSegDataset',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(
                img_path='leftImg8bit/train', seg_map_path='gtFine/train')),
        unlabeled=dict(
            type='UnlabeledSegDataset',
            data_root=data_root,
            data_prefix=dict(img_path='leftImg8bit/train'))))
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
val_evaluator = dict(type='PerImageIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
