_base_ = '../brpg_r101_voc_366.py'
# Table 9, II: features of the classification head, no feature head.
model = dict(
    terms=dict(
        brpg=dict(
            head=dict(
                projector=None, tap='pre_cls', in_channels=256,
                channels=256))))
