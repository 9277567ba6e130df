_base_ = '../pps_r101_voc_662.py'
# Table 5: 1 prototype of every class.
model = dict(segmentor=dict(decode_head=dict(num_queries=1 * 21)))
