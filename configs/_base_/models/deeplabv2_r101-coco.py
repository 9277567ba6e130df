# DeepLabV2 of AdvSemiSeg, ClassMix and CMB: two of four branches
# are summed, affine parameters of the backbone's BatchNorm are frozen while
# its statistics are not. The COCO weights want BGR; the code divides by 255,
# not by a standard deviation. They have 21 classes, so they fill the
# classifier too.
coco = ('http://vllab1.ucmerced.edu/~whung/adv-semi-seg/'
        'resnet101COCO-41f33a49.pth')
segmentor = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[104.007, 116.669, 122.679],
        std=[255., 255., 255.],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1),  # the crops of a batch are equally large
    backbone=dict(
        type='CeilPoolResNet',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=dict(type='SyncBN', requires_grad=False),
        norm_eval=False,
        style='caffe',
        init_cfg=dict(type='Pretrained', checkpoint=coco)),
    decode_head=dict(
        type='DeepLabV2Head',
        in_channels=2048,
        in_index=3,
        aspp_branches=2,
        align_corners=True,
        init_cfg=dict(type='Pretrained', checkpoint=coco, prefix='layer5.')),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
