_base_ = './brpg_r101_voc_366.py'
# Table 6, III: prototypes of randomly drawn features, without CPG and APO.
model = dict(
    terms=dict(brpg=dict(split=False, num_prototypes=(4, ), apo=None)))
