_base_ = './brpg_r18_digits_50.py'
# Table 6, IV: one clustering per confidence (CPG), without APO.
model = dict(terms=dict(brpg=dict(apo=None)))
