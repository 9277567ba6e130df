_base_ = '../rc2l_r101_voc_2646.py'
# Table 3, baseline: mask consistency of matched pairs, no union, no class.
model = dict(terms=dict(rc2l=dict(betas=(0., 20., 0., 0.), union='matched')))
