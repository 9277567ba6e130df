_base_ = '../cmb_r18_digits_50.py'
# Table 5, everything but the entropy.
model = dict(terms=dict(entropy=None))
