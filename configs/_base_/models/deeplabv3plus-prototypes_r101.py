_base_ = './deeplabv3plus-prototypes_r101-os16.py'
# PPS on the DeepLabV3+ of U2PL: output stride 8.
segmentor = dict(
    backbone=dict(
        dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), multi_grid=(4, 8, 16)),
    decode_head=dict(
        pixel_decoder=dict(
            c1_channels=256,
            dilations=(1, 12, 24, 36),
            dropout_ratio=0.1,
            init='torch')))
