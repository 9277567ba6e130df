_base_ = '../pps_r18_digits_50.py'
# 3 prototypes of every class.
model = dict(
    segmentor=dict(decode_head=dict(num_queries=3 * _base_.num_classes)))
