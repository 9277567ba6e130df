_base_ = './mean_teacher.py'
# Give `head.in_channels` and `window` (iterations) in the leaf.
model = dict(
    terms=dict(
        brpg=dict(
            type='BRPG',
            head=dict(channels=256, norm_cfg=dict(type='SyncBN')))))
