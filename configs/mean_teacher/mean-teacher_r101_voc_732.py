_base_ = '../brpg/brpg_r101_voc_732.py'
model = dict(terms=dict(brpg=None))
