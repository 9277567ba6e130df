_base_ = '../rc2l_r18_digits_50.py'
# Table 3: SMC, RCC and RMC.
model = dict(terms=dict(rc2l=dict(betas=(1.0, 2.0, 0.4, 0.0))))
