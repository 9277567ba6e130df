_base_ = '../pps_r101_voc_662.py'
# Table 5: 9 prototypes of every class.
model = dict(segmentor=dict(decode_head=dict(num_queries=9 * 21)))
