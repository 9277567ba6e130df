_base_ = '../brpg_r101_voc_366.py'
# Table 9, III: the 512 channels that both heads read, no feature head.
model = dict(
    terms=dict(
        brpg=dict(
            head=dict(
                projector=None, tap='decoder', in_channels=512,
                channels=512))))
