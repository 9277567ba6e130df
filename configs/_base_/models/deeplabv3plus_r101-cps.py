_base_ = './deeplabv3plus_r101-unimatch.py'
# The DeepLabV3+ of CPS: the last stage dilated 2, 4, 8, leaky activations in
# the ASPP, initial weights by Kaiming's law.
segmentor = dict(
    backbone=dict(multi_grid=(2, 4, 8)),  # absolute dilations
    decode_head=dict(
        aspp_act_cfg=dict(type='LeakyReLU'), init='kaiming_fan_in'))
