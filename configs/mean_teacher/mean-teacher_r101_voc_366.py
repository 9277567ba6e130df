_base_ = '../brpg/brpg_r101_voc_366.py'
model = dict(terms=dict(brpg=None))
