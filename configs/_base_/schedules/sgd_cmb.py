# CMB: 80,000 iterations, one learning rate for all of the network, 4e-4 for
# DeepLabV3+. The poly schedule ends with the training.
train_cfg = dict(
    type='SemiIterBasedTrainLoop', max_iters=80_000, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2e-4, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
