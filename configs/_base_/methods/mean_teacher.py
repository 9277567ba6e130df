# EMA teacher, CutMix, entropy filter: what BRPG's ablation calls L_unsup.
model = dict(
    type='MeanTeacher',
    momentum=0.99,
    buffers='own',
    mixing=dict(kind='cutmix', prob=0.5),
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[
                dict(type='cross_entropy', weight=0.5),
                dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100_000)
            ]),
        consistency=dict(type='PixelConsistency')))
