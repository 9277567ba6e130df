_base_ = './deeplabv3plus_r18_digits.py'
# Five prototypes of every class, made by a narrow transformer decoder of two
# layers that reads the last stage. In each layer half of the images skip
# cross-attention, so that the prototypes of a quarter see no image: from so
# few labels the decoder would learn to name one digit for the whole image, and
# the pixel embeddings nothing.
norm_cfg = dict(type='BN', requires_grad=True)
attention = dict(embed_dims=64, num_heads=4, attn_drop=0.1, proj_drop=0.1)
cross_attention = dict(
    embed_dims=64,
    num_heads=4,
    attn_drop=0.1,
    proj_drop=0.5,
    dropout_layer=dict(type='DropPath', drop_prob=0.5))
segmentor = dict(
    decode_head=dict(
        _delete_=True,
        type='MaskQueryHead',
        in_channels=[16, 32, 64],
        feat_channels=64,
        out_channels=48,
        num_classes=11,
        num_queries=5 * 11,
        class_head=False,
        assign='lse',
        initial_target='queries',
        align_corners=True,
        transformer_decoder=dict(
            num_layers=2,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=cross_attention,
                ffn_cfg=dict(
                    embed_dims=64, feedforward_channels=256, ffn_drop=0.1))),
        pixel_decoder=dict(
            type='PublishedDeepLabV3PlusHead',
            in_channels=64,
            in_index=2,
            channels=48,
            c1_in_channels=16,
            c1_channels=48,
            dilations=(1, 2, 4, 6),
            dropout_ratio=0.1,
            norm_cfg=norm_cfg,
            align_corners=True)))
