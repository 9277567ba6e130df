# CPS, as run: the nominal learning rate is 0.01 on VOC and 0.02 on Cityscapes
# with weight decay 1e-4, but its code divides every loss once more by the
# number of GPUs (4 and 8), so that these are the rates that act. Nothing
# decays that is a norm, a bias or a query. A config gives `max_iters`; the
# poly schedule ends with the training.
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2.5e-3, momentum=0.9, weight_decay=4e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys={
            'query_embed': dict(decay_mult=0.),
            # mmengine knows neither as bias nor as norm:
            'in_proj_bias': dict(decay_mult=0.),
            'semi_heads.pps.project.weight': dict(decay_mult=0.)
        }))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
