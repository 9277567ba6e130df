_base_ = '../rc2l-own_r101_voc-blended-cps_2646.py'
# Table 3, baseline: mask consistency of matched pairs, no union, no class.
model = dict(
    terms=dict(rc2l=dict(betas=(0.0, 20.0, 0.0, 0.0), union='matched')))
