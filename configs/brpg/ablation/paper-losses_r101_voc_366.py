_base_ = '../brpg_r101_voc_366.py'
# The losses as the paper prints them (Eq. 2 and 6). The authors' code, and
# with it our default, adds OHEM to the cross-entropy and multiplies the loss
# of the unlabelled images by (pixels / pixels kept).
model = dict(
    terms=dict(
        supervised=dict(criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(normalizer='valid')))
