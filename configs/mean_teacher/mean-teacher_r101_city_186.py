_base_ = '../brpg/brpg_r101_city_186.py'
model = dict(terms=dict(brpg=None))
