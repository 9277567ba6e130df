_base_ = './deeplabv3plus_xception65_coco.py'
# The DeepLabV3+ of UniMatch on COCO: output stride 16; a 1x1 convolution fuses
# the ASPP; 48 low-level channels, no dropout.
segmentor = dict(
    backbone=dict(output_stride=16),
    decode_head=dict(
        c1_channels=48,
        dilations=(1, 6, 12, 18),
        fusion_kernel=1,
        conv_bias=False,
        dropout_ratio=0.))
