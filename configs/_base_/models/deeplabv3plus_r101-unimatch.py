_base_ = './deeplabv3plus_r101-stem128.py'
# The DeepLabV3+ of UniMatch and its FixMatch: output stride 16, the last
# stage dilated 1, 2, 2; a 1x1 convolution fuses the ASPP; 48 channels of the
# first stage, no dropout.
segmentor = dict(
    backbone=dict(
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        multi_grid=None,
        ceil_pool=False),
    decode_head=dict(
        c1_channels=48,
        dilations=(1, 6, 12, 18),
        fusion_kernel=1,
        conv_bias=False,
        dropout_ratio=0.))
