# DeepLabV3+ as MMSegmentation builds it: depthwise convolutions, 48 low-level
# channels. Without its auxiliary head, which BRPG does not train.
segmentor = dict(
    config='mmseg::deeplabv3plus/'
    'deeplabv3plus_r101-d8_4xb4-40k_voc12aug-512x512.py',
    data_preprocessor=dict(size=None, size_divisor=1),
    pretrained=None,
    backbone=dict(
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://resnet101_v1c')),
    decode_head=dict(align_corners=True),
    auxiliary_head=None)
