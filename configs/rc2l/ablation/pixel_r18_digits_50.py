_base_ = '../rc2l_r18_digits_50.py'
# The other reading of Table 3's baseline: consistency of every pixel, of the
# same pixels that RC²L counts.
model = dict(
    terms=dict(
        consistency=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=0.8,
            normalizer='valid'),
        rc2l=None))
