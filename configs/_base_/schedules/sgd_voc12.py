# 80 epochs; the decoder and the feature head learn ten times faster.
# An epoch of the papers is one pass over the unlabelled images by 4 GPUs,
#     epoch_iters = floor(ceil(unlabelled / 4) / unlabelled images per GPU).
# A config gives it, and `max_iters`; the poly schedule ends with the training.
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            'decode_head': dict(lr_mult=10.),
            'auxiliary_head': dict(lr_mult=10.),
            'semi_heads': dict(lr_mult=10.)
        }))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
