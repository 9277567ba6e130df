# EMA teacher, CutMix, entropy filter: what BRPG's ablation calls L_unsup, its
# losses as printed (Eq. 2, 5, 6).
model = dict(
    type='MeanTeacher',
    momentum=0.99,
    buffers='own',
    mixing=dict(kind='cutmix', prob=0.5),
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(type='PixelConsistency', normalizer='valid')))
