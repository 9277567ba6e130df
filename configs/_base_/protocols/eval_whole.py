# Scores whole images at their own size. In a config with this base:
#     val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
#     test_dataloader = val_dataloader
#     tta_pipeline = _base_.eval_tta_pipeline
eval_protocol = 'whole'
eval_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
eval_tta_pipeline = [
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
