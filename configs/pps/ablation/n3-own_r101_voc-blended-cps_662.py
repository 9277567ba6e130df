_base_ = '../pps-own_r101_voc-blended-cps_662.py'
# Table 5: 3 prototypes of every class.
model = dict(
    segmentor=dict(decode_head=dict(num_queries=3 * _base_.num_classes)))
