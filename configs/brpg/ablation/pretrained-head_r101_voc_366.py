_base_ = '../brpg_r101_voc_366.py'
# Table 9, I: the feature head learns from labels until sampling begins.
model = dict(terms=dict(brpg=dict(pretrain_head=True)))
