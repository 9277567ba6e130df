_base_ = './brpg_r18_digits_50.py'
# Table 6, III: prototypes of randomly drawn features, without CPG and APO.
model = dict(
    terms=dict(brpg=dict(split=False, num_prototypes=(4, ), apo=None)))
