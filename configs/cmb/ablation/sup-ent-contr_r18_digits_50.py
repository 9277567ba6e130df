_base_ = '../cmb_r18_digits_50.py'
# Table 5, everything but pseudo-labels.
model = dict(terms=dict(consistency=None))
