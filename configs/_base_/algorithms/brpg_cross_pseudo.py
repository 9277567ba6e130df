_base_ = ['./cross_pseudo.py', './brpg_term.py']
model = dict(terms=dict(brpg=_base_.brpg_term))
