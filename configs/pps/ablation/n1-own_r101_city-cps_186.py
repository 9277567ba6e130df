_base_ = '../pps-own_r101_city-cps_186.py'
# Table 6: 1 prototype of every class.
model = dict(
    segmentor=dict(decode_head=dict(num_queries=1 * _base_.num_classes)))
