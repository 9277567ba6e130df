_base_ = '../rc2l-own_r101_voc-blended-cps_2646.py'
# The other reading of Table 3's baseline: consistency of every pixel.
model = dict(
    terms=dict(
        consistency=dict(
            type='PixelConsistency', filter='none', normalizer='valid'),
        rc2l=None))
