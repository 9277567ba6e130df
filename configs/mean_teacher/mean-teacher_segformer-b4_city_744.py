_base_ = '../brpg/brpg_segformer-b4_city_744.py'
model = dict(terms=dict(brpg=None))
