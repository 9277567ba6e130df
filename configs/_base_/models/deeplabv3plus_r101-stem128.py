_base_ = './deeplabv3plus_r101.py'
# With the stem of U2PL, PCR and BRPG, 64-64-128, whose max pooling rounds up.
# docs/pretrained_weights.md says where the ImageNet weights are from.
segmentor = dict(
    backbone=dict(
        type='DeepStemResNet',
        ceil_pool=True,
        init_cfg=dict(checkpoint='data/checkpoints/resnet101_stem128.pth')))
