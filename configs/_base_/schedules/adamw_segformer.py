# BRPG's SegFormer on Cityscapes (Sec. 4.1.4): AdamW, ten times the rate for
# the decoder, poly, no warm-up. On VOC it has the SGD of all networks. A
# config gives `max_iters`; the poly schedule ends with the training.
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(
            decode_head=dict(lr_mult=10.), semi_heads=dict(lr_mult=10.))))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
