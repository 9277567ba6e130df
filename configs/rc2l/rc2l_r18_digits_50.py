_base_ = [
    '../_base_/models/mask-query_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/methods/rc2l.py',
    '../_base_/schedules/adamw_3k_queries.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: the strong view has its colours changed, segments
# are smaller, the teacher is faster and starts earlier.
model = dict(
    segmentor=_base_.segmentor,
    strong_copies=0,
    burn_in=300,
    momentum=0.99,
    terms=dict(rc2l=dict(loss_weight=1., min_area=4)))
