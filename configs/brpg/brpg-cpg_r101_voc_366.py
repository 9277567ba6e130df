_base_ = './brpg_r101_voc_366.py'
# Table 6, IV: one clustering per confidence (CPG), without APO.
model = dict(terms=dict(brpg=dict(apo=None)))
