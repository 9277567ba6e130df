# FixMatch as in UniMatch's code: (L_x + L_u) / 2, the latter over confident
# pixels but divided by the number of all that are not padding. Cityscapes has
# the threshold 0.
model = dict(
    type='FixMatch',
    mixing=dict(kind='cutmix_single', prob=0.5, per_image=True),
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=0.5)]),
        consistency=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=0.95,
            normalizer='non_padding',
            loss_weight=0.5)))
