_base_ = './pcr_r18_digits_50.py'
# Table 4, 1: the linear predictor alone, a mean teacher with CutMix and a
# confidence threshold.
model = dict(terms=dict(pcr=None))
