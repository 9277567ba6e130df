_base_ = '../brpg/brpg_r101_city_1488.py'
model = dict(terms=dict(brpg=None))
