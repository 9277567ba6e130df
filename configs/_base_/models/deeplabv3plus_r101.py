# DeepLabV3+ as U2PL, PCR and BRPG build it (output stride 8).
# The stem is the 32-32-64 one of `ResNetV1c`, whose ImageNet weights can be
# downloaded; the papers' stem is 64-64-128, see configs/brpg/README.md.
norm_cfg = dict(type='SyncBN', requires_grad=True)
segmentor = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1),  # the crops of a batch are equally large
    backbone=dict(
        type='ResNetV1c',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        multi_grid=(4, 8, 16),  # absolute dilations of the last stage
        contract_dilation=True,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://resnet101_v1c')),
    decode_head=dict(
        type='PublishedDeepLabV3PlusHead',
        in_channels=2048,
        in_index=3,
        channels=256,
        c1_in_channels=256,
        c1_channels=256,
        dilations=(1, 12, 24, 36),
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
