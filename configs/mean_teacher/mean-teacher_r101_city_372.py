_base_ = '../brpg/brpg_r101_city_372.py'
model = dict(terms=dict(brpg=None))
