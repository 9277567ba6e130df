_base_ = '../cmb_r18_digits_50.py'
# Table 5, labels and contrast.
model = dict(terms=dict(consistency=None, entropy=None))
