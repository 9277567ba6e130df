_base_ = '../cmb_r18_digits_50.py'
# Table 5, everything but the contrast.
model = dict(terms=dict(cmb=None))
