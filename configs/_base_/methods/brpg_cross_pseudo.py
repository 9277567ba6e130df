_base_ = './cross_pseudo.py'
# BRPG's term as in brpg.py. Give `head.in_channels` and `window` in the leaf.
model = dict(
    terms=dict(
        brpg=dict(
            type='BRPG',
            head=dict(channels=256, norm_cfg=dict(type='SyncBN')),
            apo=dict(extra=1, ratio=0.05, score='cosine'))))
