_base_ = './deeplabv3plus_r101-unimatch.py'
segmentor = dict(decode_head=dict(num_classes=19))
