_base_ = './deeplabv3plus_r101.py'
# PPS on the DeepLabV3+ of U2PL: as on that of CPS, but with output stride 8
# and U2PL's decoder. A config gives `num_queries`.
norm_cfg = dict(type='SyncBN', requires_grad=True)
segmentor = dict(
    decode_head=dict(
        _delete_=True,
        type='MaskQueryHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        class_head=False,
        initial_target='queries',
        assign='lse',
        align_corners=True,
        pixel_decoder=dict(
            type='PublishedDeepLabV3PlusHead',
            in_channels=2048,
            in_index=3,
            channels=256,
            c1_in_channels=256,
            c1_channels=256,
            dilations=(1, 12, 24, 36),
            dropout_ratio=0.1,
            norm_cfg=norm_cfg,
            align_corners=True)))
