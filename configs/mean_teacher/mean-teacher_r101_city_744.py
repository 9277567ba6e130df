_base_ = '../brpg/brpg_r101_city_744.py'
model = dict(terms=dict(brpg=None))
