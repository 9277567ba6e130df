# BRPG's term. Give `head.in_channels` and `window` (iterations) in the config.
# What is not listed has the paper's value, see the docstring of the term.
brpg_term = dict(
    type='BRPG',
    head=dict(channels=256, norm_cfg=dict(type='SyncBN')),
    apo=dict(extra=1, ratio=0.05, score='cosine'))
