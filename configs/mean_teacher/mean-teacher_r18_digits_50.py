_base_ = '../brpg/brpg_r18_digits_50.py'
# BRPG without its prototypes: EMA teacher and CutMix.
model = dict(terms=dict(brpg=None))
