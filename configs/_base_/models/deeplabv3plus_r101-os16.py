_base_ = './deeplabv3plus_r101.py'
# The DeepLabV3+ of CPS: output stride 16, 48 channels of the
# first stage, no dropout.
segmentor = dict(
    backbone=dict(
        strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2),
        multi_grid=(2, 4, 8)),  # absolute dilations of the last stage
    decode_head=dict(
        c1_channels=48,
        dilations=(1, 6, 12, 18),
        dropout_ratio=0.,
        init='kaiming_fan_in'))
