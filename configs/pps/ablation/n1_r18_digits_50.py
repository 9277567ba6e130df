_base_ = '../pps_r18_digits_50.py'
# 1 prototype of every class.
model = dict(
    segmentor=dict(decode_head=dict(num_queries=1 * _base_.num_classes)))
