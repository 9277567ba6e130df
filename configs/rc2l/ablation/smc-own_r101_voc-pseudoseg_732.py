_base_ = '../rc2l-own_r101_voc-pseudoseg_732.py'
# Table 3: SMC.
model = dict(terms=dict(rc2l=dict(betas=(0.0, 20.0, 0.0, 0.0))))
