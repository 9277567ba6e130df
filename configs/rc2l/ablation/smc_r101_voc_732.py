_base_ = '../rc2l_r101_voc_732.py'
# Table 3: SMC.
model = dict(terms=dict(rc2l=dict(betas=(0., 20., 0., 0.))))
