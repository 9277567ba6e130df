_base_ = '../brpg/brpg_r18_digits_100.py'
# BRPG without its prototypes: EMA teacher and CutMix.
model = dict(terms=dict(brpg=None))
