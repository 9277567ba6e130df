_base_ = '../rc2l_r18_digits_50.py'
# Table 3, baseline: mask consistency of matched pairs, no union, no class.
model = dict(
    terms=dict(rc2l=dict(betas=(0.0, 2.0, 0.0, 0.0), union='matched')))
