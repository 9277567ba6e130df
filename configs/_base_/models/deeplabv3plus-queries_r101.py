_base_ = './deeplabv3plus_r101.py'
# RC2L on the DeepLabV3+ of U2PL: the decoder without its classifier embeds the
# pixels, MaskFormer's transformer decoder reads the last stage. 50 queries
# (Table 5).
norm_cfg = dict(type='SyncBN', requires_grad=True)
segmentor = dict(
    decode_head=dict(
        _delete_=True,
        type='MaskQueryHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        num_queries=50,
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
