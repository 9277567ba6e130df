# A quarter-width ResNet-18 without its last stage, output stride 8, under a
# narrow published decoder: learns 64 x 64 scenes on one core in minutes.
norm_cfg = dict(type='BN', requires_grad=True)
segmentor = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(64, 64)),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=16,
        base_channels=16,
        num_stages=3,
        out_indices=(0, 1, 2),
        dilations=(1, 1, 2),
        strides=(1, 2, 1),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        contract_dilation=True),
    decode_head=dict(
        type='PublishedDeepLabV3PlusHead',
        in_channels=64,
        in_index=2,
        channels=48,
        c1_in_channels=16,
        c1_channels=48,
        dilations=(1, 2, 4, 6),
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
