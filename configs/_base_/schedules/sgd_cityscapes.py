# 200 epochs; one learning rate for all of the network.
# An epoch of the papers is one pass over the unlabelled images,
#     epoch_iters = floor(ceil(unlabelled / GPUs) / unlabelled per GPU),
# with the papers' number of GPUs, 4. Leaves give it, and `max_iters`. The poly
# schedule ends with the training; docs/batch_sizes.md is about other numbers
# of GPUs.
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SemiOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=5e-3, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
