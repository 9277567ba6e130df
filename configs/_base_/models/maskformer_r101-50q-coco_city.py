_base_ = './maskformer_r101-50q-coco.py'
segmentor = dict(decode_head=dict(num_classes=19))
