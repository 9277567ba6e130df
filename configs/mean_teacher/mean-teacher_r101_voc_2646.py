_base_ = '../brpg/brpg_r101_voc_2646.py'
model = dict(terms=dict(brpg=None))
