_base_ = '../rc2l-own_r101_voc-blended-cps_2646.py'
# Table 3: SMC and RCC.
model = dict(terms=dict(rc2l=dict(betas=(1.0, 20.0, 0.0, 0.0))))
