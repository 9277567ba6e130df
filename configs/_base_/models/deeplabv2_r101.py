# DeepLabV2 of CMB with ImageNet weights: two of four branches are
# summed, affine parameters of the backbone's BatchNorm are frozen while its
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
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=dict(type='SyncBN', requires_grad=False),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet101-5d3b4d8f.pth')),
    decode_head=dict(
        type='DeepLabV2Head',
        in_channels=2048,
        in_index=3,
        aspp_branches=2,
        align_corners=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
