_base_ = '../pps_r101_voc_662.py'
# Table 4, MPM + PCL: without the activation regularisation.
model = dict(terms=dict(pps=dict(activation_weight=0.)))
