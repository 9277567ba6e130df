_base_ = './maskformer_r101-50q.py'
# A MaskFormer trained on COCO; configs/rc2l/README.md says where it is from.
# What has another shape there, the class head and the queries, starts anew.
coco = 'data/checkpoints/maskformer_r101_coco.pth'
segmentor = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint=coco,
            prefix='backbone.')),
    decode_head=dict(
        init_cfg=dict(
            type='Pretrained', checkpoint=coco, prefix='panoptic_head.')))
