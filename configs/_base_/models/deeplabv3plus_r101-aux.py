_base_ = './deeplabv3plus_r101.py'
# U2PL trains a second classifier on the third stage on Cityscapes. A config
# gives it the number of classes too.
segmentor = dict(
    auxiliary_head=dict(
        type='PublishedFCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=True))
