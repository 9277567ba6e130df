# COCO 2017 with background and its 80 things; `masks` holds the masks of
# train2017 and val2017. What is here is the same for all methods; a
# coco81_*.py adds pipelines, a file of protocols/ the lists. BRPG trains with
# crops of 513, as on VOC (4.1.5).
dataset_type = 'COCO81Dataset'
data_root = 'data/coco'
num_classes = 81
crop_size = 513
inference = dict(mode='whole')
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
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', counts=(16, 16)),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        type='SemiSegDataset',
        labeled=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(img_path='train2017', seg_map_path='masks')),
        unlabeled=dict(
            type='UnlabeledSegDataset',
            data_root=data_root,
            data_prefix=dict(img_path='train2017'))))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='val2017', seg_map_path='masks'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='PerImageIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
