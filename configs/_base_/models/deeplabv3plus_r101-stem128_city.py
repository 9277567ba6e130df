_base_ = './deeplabv3plus_r101-stem128.py'
segmentor = dict(
    decode_head=dict(num_classes=19),
    test_cfg=dict(mode='slide', crop_size=(769, 769), stride=(513, 513)))
