_base_ = '../rc2l_r18_digits_50.py'
# Table 5: more queries.
model = dict(segmentor=dict(decode_head=dict(num_queries=50)))
