_base_ = '../rc2l_r101_voc_2646.py'
# Table 3: SMC and RCC.
model = dict(terms=dict(rc2l=dict(betas=(1., 20., 0., 0.))))
