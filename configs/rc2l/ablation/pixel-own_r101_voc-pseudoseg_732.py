_base_ = '../rc2l-own_r101_voc-pseudoseg_732.py'
# The other reading of Table 3's baseline: consistency of every pixel.
model = dict(
    terms=dict(
        consistency=dict(
            type='PixelConsistency', filter='none', normalizer='valid'),
        rc2l=None))
