_base_ = './fixmatch.py'
# UniMatch: (L_x + L_s1 / 4 + L_s2 / 4 + L_fp / 2) / 2, two strong views and
# the weak one under dropped channels of the encoder.
model = dict(
    feature_dropout=0.5,
    terms=dict(
        consistency=None,
        strong1=dict(
            type='PixelConsistency',
            views=['unsup_student'],
            filter='confidence',
            threshold=0.95,
            normalizer='non_padding',
            loss_weight=0.125),
        strong2=dict(
            type='PixelConsistency',
            views=['unsup_student2'],
            filter='confidence',
            threshold=0.95,
            normalizer='non_padding',
            loss_weight=0.125),
        features=dict(
            type='PixelConsistency',
            views=['unsup_teacher_dropped'],
            filter='confidence',
            threshold=0.95,
            normalizer='non_padding',
            loss_weight=0.25)))
