# 200 epochs; one learning rate for all of the network.
# An epoch of the papers is one pass over the unlabelled images by 4 GPUs,
#     epoch_iters = floor(ceil(unlabelled / 4) / unlabelled images per GPU).
# A config gives it, and `max_iters`; the poly schedule ends with the training.
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
