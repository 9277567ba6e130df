_base_ = './maskformer_r101.py'
# RC2L: half of MaskFormer's queries.
segmentor = dict(decode_head=dict(num_queries=50))
