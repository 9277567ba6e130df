_base_ = './pcr_r18_digits_50.py'
# Table 4, 3: both predictors, prototypes as they were initialised.
model = dict(terms=dict(pcr=dict(momentum=1.0)))
