# How CMB's code chooses weights: back to the best after a fifth of the
# training without progress, and the BatchNorm statistics of the best estimated
# anew at the end. In the config:
#     custom_hooks = [*_base_.custom_hooks, *_base_.selection_hooks]
selection_hooks = [
    dict(type='BestWeightsHook'),
    dict(type='NormRefreshHook', forwards=1000)
]
