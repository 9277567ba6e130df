_base_ = '../pps_r18_digits_50.py'
# Table 4, MPM + PCL: without the activation regularisation.
model = dict(terms=dict(pps=dict(activation_weight=0.0)))
