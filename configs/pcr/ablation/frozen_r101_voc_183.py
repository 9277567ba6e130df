_base_ = '../pcr_r101_voc_183.py'
# Table 4, 3: both predictors, prototypes as they were initialised.
model = dict(terms=dict(pcr=dict(momentum=1.0)))
