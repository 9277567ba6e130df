_base_ = '../cmb_r18_digits_50.py'
# The teacher without dropout.
model = dict(labeler_dropout=False, terms=dict(cmb=dict(memory_dropout=False)))
