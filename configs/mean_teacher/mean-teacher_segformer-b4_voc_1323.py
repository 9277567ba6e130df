_base_ = '../brpg/brpg_segformer-b4_voc_1323.py'
model = dict(terms=dict(brpg=None))
