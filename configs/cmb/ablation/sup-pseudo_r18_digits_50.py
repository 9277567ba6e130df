_base_ = '../cmb_r18_digits_50.py'
# Table 5, labels and pseudo-labels.
model = dict(terms=dict(entropy=None, cmb=None))
