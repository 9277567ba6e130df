# MMSegmentation's SegFormer-B4 with its ImageNet weights.
segmentor = dict(
    config='mmseg::segformer/segformer_mit-b4_8xb2-160k_ade20k-512x512.py',
    data_preprocessor=dict(size=None, size_divisor=1),
    decode_head=dict())
