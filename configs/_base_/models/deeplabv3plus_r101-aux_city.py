_base_ = './deeplabv3plus_r101_city.py'
# U2PL and PCR train a second classifier on the third stage on Cityscapes.
segmentor = dict(
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=True))
