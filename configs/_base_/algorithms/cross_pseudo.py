# CPS with CutMix: two students label for each other the images that three
# boxes mix. Every pixel counts, whatever the confidence. Cityscapes weighs the
# consistency with 5; without CutMix (`model.mixing=None`) it is 1.5 and 6.
model = dict(
    type='CrossPseudo',
    mixing=dict(kind='cutmix_xor', prob=1.),
    predict_with='student1',
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(
            type='PixelConsistency',
            filter='none',
            normalizer='valid',
            loss_weight=1.)))
