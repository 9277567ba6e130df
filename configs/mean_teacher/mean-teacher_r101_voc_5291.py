_base_ = '../brpg/brpg_r101_voc_5291.py'
model = dict(terms=dict(brpg=None))
