# Photographs and masks of any size, as `mmseg-semi init` uses them: a config
# puts its crop between these parts and says where the images are.
load_labelled = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations')
]
load_unlabelled = [dict(type='LoadStrictImage'), dict(type='InitValidMap')]
vary = [
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5)
]
branches = ['sup', 'unsup_teacher', 'unsup_student']
strong = [
    dict(type='SemiColorJitter'),
    dict(type='SemiGrayscale'),
    dict(type='RandomGaussianBlur'),
    dict(type='PackSemiInputs')
]
pack_labelled = [
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
pack_unlabelled = [
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')],
        unsup_student=strong)
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
            for r in (0.75, 1.0, 1.25)
        ], [dict(type='RandomFlip', prob=p) for p in (0., 1.)],
                    [dict(type='LoadAnnotations')],
                    [dict(type='PackSegInputs')]])
]
# The names of an import have their suffix: photo.jpg and photo.jpg.png.
dataset = dict(type='BaseSegDataset', img_suffix='', seg_map_suffix='.png')
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SemiSampler'),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        type='SemiSegDataset',
        labeled=dataset,
        unlabeled=dict(type='UnlabeledSegDataset')))
# Photographs have different sizes, so one at a time.
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='PerImageIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
