_base_ = '../pps-own_r101_voc-blended-cps_662.py'
# Table 5: 7 prototypes of every class.
model = dict(
    segmentor=dict(decode_head=dict(num_queries=7 * _base_.num_classes)))
