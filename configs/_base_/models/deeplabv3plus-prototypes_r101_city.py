_base_ = './deeplabv3plus-prototypes_r101.py'
# Seven prototypes of every class (Table 6).
segmentor = dict(
    decode_head=dict(num_classes=19, num_queries=7 * 19),
    test_cfg=dict(crop_size=(800, 800), stride=(533, 533)))
