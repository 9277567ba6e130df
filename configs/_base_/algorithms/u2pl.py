_base_ = './mean_teacher.py'
# Give `head.in_channels` in the config, and `epoch_iters` to `consistency` and
# `u2pl` for a share of reliable pixels that moves once per epoch. What is not
# listed has the paper's value, see the docstring of the term.
model = dict(
    terms=dict(
        consistency=dict(normalizer='kept_boost'),  # Eq. 8
        u2pl=dict(type='U2PL', head=dict(norm_cfg=dict(type='SyncBN')))))
