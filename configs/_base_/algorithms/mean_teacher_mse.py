# Original Mean Teacher: both networks see the same images, labelled ones too,
# nothing is mixed, and their probabilities shall agree. Settings of the
# re-implementation in TorchSemiSeg. The weak view is copied on the device:
# give a data set without a branch `unsup_student`, or `strong_copies=0` and
# one with it, whose strong view then is the student's noise.
model = dict(
    type='MeanTeacher',
    momentum=0.99,
    buffers='own',
    labeler_mode='train',
    labeler_dropout=True,
    joint=False,
    strong_copies=1,
    mixing=None,
    predict_with='student',
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(
            type='SquaredConsistency',
            labeled=True,
            over_classes='mean',
            loss_weight=100.)))
