# For a model and data of your own: 20,000 iterations, AdamW, ten times the
# rate for heads, as SegFormer is trained. All that follows from the length
# changes with `--cfg-options train_cfg.max_iters=...`.
train_cfg = dict(
    type='SemiIterBasedTrainLoop', max_iters=20000, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(
            decode_head=dict(lr_mult=10.),
            auxiliary_head=dict(lr_mult=10.),
            semi_heads=dict(lr_mult=10.))))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
