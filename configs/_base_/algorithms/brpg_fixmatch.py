_base_ = ['./fixmatch.py', './brpg_term.py']
model = dict(terms=dict(brpg=_base_.brpg_term))
