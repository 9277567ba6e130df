_base_ = '../rc2l_r101_voc_732.py'
# Table 3: SMC, RCC and RMC.
model = dict(terms=dict(rc2l=dict(betas=(1., 20., 4., 0.))))
