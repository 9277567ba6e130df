_base_ = [
    './cmb-own_v2-r101-coco_city-cmb_100.py',
    '../_base_/algorithms/cmb_selection.py'
]
# The mechanics of the authors' code where paper and code differ: memory takes
# the lowest scores and does not weigh its vectors, the teacher's momentum
# rises from 0.995 to 1, one draw of augmentation serves a batch, colours
# change less, blur has one axis. 150,000 iterations. On one GPU. Without
# progress it goes back to the best weights, see cmb_selection.py.
model = dict(
    fidelity='official',
    momentum=0.995,
    momentum_schedule='cosine',
    label_padding=True,
    labeled_mixing=dict(per_image=False),
    mixing=dict(prob=0.75, per_image=False),
    terms=dict(consistency=dict(ramp=dict(kind='exp'))),
    augment=dict(
        sup=dict(
            brightness=0.125,
            contrast=0.125,
            saturation=0.0625,
            hue=0.125 / 3,
            batch_level=True),
        strong=dict(
            brightness=0.25,
            contrast=0.25,
            saturation=0.125,
            hue=0.25 / 3,
            batch_level=True,
            one_axis_blur=True)))
train_cfg = dict(max_iters=150000)
custom_hooks = [*_base_.custom_hooks, *_base_.selection_hooks]
