_base_ = '../pps_r101_city_186.py'
# Table 6: 9 prototypes of every class.
model = dict(segmentor=dict(decode_head=dict(num_queries=9 * 19)))
