# SegFormer's own recipe; BRPG does not say what it used.
# An epoch of the papers is one pass over the unlabelled images,
#     epoch_iters = floor(ceil(unlabelled / GPUs) / unlabelled per GPU),
# with the papers' number of GPUs, 4. Leaves give it, and `max_iters`. The poly
# schedule ends with the training; docs/batch_sizes.md is about other numbers
# of GPUs.
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'pos_block': dict(decay_mult=0.),
            'norm': dict(decay_mult=0.),
            'decode_head': dict(lr_mult=10.),
            'semi_heads': dict(lr_mult=10.)
        }))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type='PolyLR', power=1., eta_min=0., begin=1500, by_epoch=False)
]
