_base_ = './deeplabv3plus_r101-cps.py'
# PPS on the DeepLabV3+ of CPS: the decoder without its classifier embeds the
# pixels; MaskFormer's transformer decoder, reading the last stage, makes
# prototypes. A config gives their number, `num_queries`: five of every class
# on VOC (Table 5), seven on Cityscapes (Table 6).
norm_cfg = dict(type='SyncBN', requires_grad=True)
segmentor = dict(
    decode_head=dict(
        _delete_=True,
        type='MaskQueryHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        class_head=False,
        initial_target='queries',
        assign='lse',
        align_corners=True,
        pixel_decoder=dict(
            type='PublishedDeepLabV3PlusHead',
            in_channels=2048,
            in_index=3,
            channels=256,
            c1_in_channels=256,
            c1_channels=48,
            dilations=(1, 6, 12, 18),
            fusion_kernel=1,
            conv_bias=False,
            dropout_ratio=0.,
            aspp_act_cfg=dict(type='LeakyReLU'),
            init='kaiming_fan_in',
            norm_cfg=norm_cfg,
            align_corners=True)))
