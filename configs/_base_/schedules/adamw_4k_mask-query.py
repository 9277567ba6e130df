_base_ = './adamw_3k_queries.py'
# Half of it for the teacher of RC2L, which has to name digits before others
# can learn from it.
train_cfg = dict(max_iters=4000)
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0.,
        begin=0,
        end=4000,
        by_epoch=False)
]
