# RC2L (Zhang et al., IJCAI 2022). The teacher, in eval mode, labels the crop;
# CutMix of one box, a quarter to half of the image, makes the strong view.
# The labelled images have MaskFormer's own loss. What the paper does not
# print (burn-in, EMA, temperatures, box) is the specification's proposal, see
# the README and the docstring of the term.
# Give `terms.rc2l.loss_weight`, the paper's alpha, in the config.
model = dict(
    type='MeanTeacher',
    momentum=0.999,
    buffers='copy',
    strong_copies=1,
    burn_in=2000,
    predict_with='student',
    mixing=dict(kind='cutmix_xor', boxes=1, prob=1.),
    terms=dict(
        supervised=dict(type='SupervisedLoss', criterion=None),
        rc2l=dict(
            type='RC2L',
            betas=(1., 20., 4., 4.),
            smc_weights=(1., 0.05),
            tau=(0.5, 0.5),
            min_area=16)))
