_base_ = './deeplabv3plus_r101-os16.py'
segmentor = dict(decode_head=dict(num_classes=19))
