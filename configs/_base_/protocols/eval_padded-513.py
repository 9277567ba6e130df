# PASCAL VOC as U2PL, BRPG and PCR evaluate it: every image padded to
# 513 x 513, and the border scored as background. In a config with this base:
#     val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
#     test_dataloader = val_dataloader
#     tta_pipeline = _base_.eval_tta_pipeline
eval_protocol = 'padded-513'
eval_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PadCenterCrop', crop_size=513),
    dict(type='PackSegInputs')
]
# The label is scored as the first view has it, so that one is unchanged.
eval_tta_pipeline = [
    *eval_pipeline[:3],
    dict(
        type='TestTimeAug',
        transforms=[[
            dict(type='Resize', scale_factor=r, keep_ratio=True)
            for r in (1.0, 0.5, 0.75, 1.25, 1.5, 1.75)
        ], [dict(type='RandomFlip', prob=p) for p in (0., 1.)],
                    [dict(type='PackSegInputs')]])
]
