# CutMix-Seg (French et al., 2020): a box of half the area in every image,
# squared error against the teacher's mixed probabilities, times the share of
# pixels about which the teacher is confident. The weak view is copied on the
# device: give a data set without a branch `unsup_student`.
model = dict(
    type='MeanTeacher',
    momentum=0.99,
    buffers='own',
    strong_copies=1,
    mixing=dict(kind='cutmix', prob=1.),
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(
            type='SquaredConsistency',
            over_classes='sum',
            threshold=0.97,
            loss_weight=1.)))
