_base_ = '../brpg/brpg_r101_voc_1323.py'
model = dict(terms=dict(brpg=None))
