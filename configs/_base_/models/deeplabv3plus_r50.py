# DeepLabV3+ of CMB (output stride 16) with ImageNet weights.
# Affine parameters of the backbone's BatchNorm are frozen while its
# statistics are not. The code divides by 255, not by a standard deviation.
segmentor = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[122.679, 116.669, 104.007],
        std=[255., 255., 255.],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1),  # the crops of a batch are equally large
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 1, 2),
        strides=(1, 2, 2, 1),
        norm_cfg=dict(type='SyncBN', requires_grad=False),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet50-19c8e357.pth')),
    decode_head=dict(
        type='CMBDeepLabV3PlusHead',
        in_channels=2048,
        in_index=3,
        channels=256,
        c1_in_channels=256,
        c1_channels=48,
        dilations=(1, 6, 12, 18),
        aspp_dropout=0.5,
        dropout_ratio=0.1,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
