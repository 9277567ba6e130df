_base_ = './deeplabv3plus_r101.py'
# The DeepLabV3+ of BRPG on COCO: the published decoder on Xception-65, output
# stride 8. The encoder is the PyTorch port that it ran, see the docstring of
# `Xception65`; tools/model_converters/xception65_to_mmseg.py writes its
# ImageNet weights.
segmentor = dict(
    backbone=dict(
        _delete_=True,
        type='Xception65',
        output_stride=8,
        fidelity='official',
        norm_cfg=dict(type='SyncBN', momentum=3e-4, eps=1e-5),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='data/checkpoints/xception65_imagenet.pth')))
