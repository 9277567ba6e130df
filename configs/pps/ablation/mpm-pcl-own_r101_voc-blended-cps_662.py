_base_ = '../pps-own_r101_voc-blended-cps_662.py'
# Table 4, MPM + PCL: without the activation regularisation.
model = dict(terms=dict(pps=dict(activation_weight=0.0)))
