_base_ = [
    '../_base_/models/mask-query_r18_digits.py',
    '../_base_/datasets/digits.py', '../_base_/algorithms/rc2l.py',
    '../_base_/schedules/adamw_4k_mask-query.py', '../_base_/semi_runtime.py'
]
# Against the VOC configs: the strong view has its colours changed and is
# pasted in half of the steps; the teacher is faster and has statistics of its
# own, as BatchNorm trains here. An image of 64 x 64 has two to five segments,
# with which the printed denominators of RMC and RFC are nearly linear: the
# positive pair is in them, and their betas are a tenth. SMC has a tenth of
# MaskFormer's weights. Fragments and unsure pixels make no segments, and
# queries without one learn "no object", weighted as on labelled images.
model = dict(
    segmentor=_base_.segmentor,
    strong_copies=0,
    momentum=0.998,
    buffers='own',
    mixing=dict(prob=0.5),
    terms=dict(
        rc2l=dict(
            loss_weight=1.0,
            betas=(1.0, 2.0, 0.4, 0.4),
            include_positive=True,
            empty_weight=0.1,
            min_area=32,
            threshold=0.8)))
