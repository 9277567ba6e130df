_base_ = '../brpg/brpg_r101-stock_voc_366.py'
model = dict(terms=dict(brpg=None))
