_base_ = './deeplabv2_r101-coco.py'
segmentor = dict(
    data_preprocessor=dict(mean=[72.392, 82.909, 73.158]),
    decode_head=dict(
        init_cfg=dict(_delete_=True, type='Normal', layer='Conv2d', std=0.01)))
