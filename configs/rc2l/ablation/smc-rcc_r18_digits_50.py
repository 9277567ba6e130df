_base_ = '../rc2l_r18_digits_50.py'
# Table 3: SMC and RCC.
model = dict(terms=dict(rc2l=dict(betas=(1.0, 2.0, 0.0, 0.0))))
