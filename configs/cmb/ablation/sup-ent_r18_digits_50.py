_base_ = '../cmb_r18_digits_50.py'
# Table 5, labels and entropy.
model = dict(terms=dict(consistency=None, cmb=None))
