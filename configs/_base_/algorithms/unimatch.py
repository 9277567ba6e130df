_base_ = './fixmatch.py'
# UniMatch: (L_x + L_s1 / 4 + L_s2 / 4 + L_fp / 2) / 2, two strong views and
# the weak one under dropped channels of the encoder.
stream = dict(
    type='PixelConsistency',
    filter='confidence',
    threshold=0.95,
    normalizer='non_padding')
model = dict(
    feature_dropout=0.5,
    terms=dict(
        consistency=None,
        strong1=dict(stream, views=['unsup_student'], loss_weight=0.125),
        strong2=dict(stream, views=['unsup_student2'], loss_weight=0.125),
        features=dict(
            stream, views=['unsup_teacher_dropped'], loss_weight=0.25)))
