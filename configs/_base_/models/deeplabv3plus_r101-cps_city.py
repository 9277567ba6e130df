_base_ = './deeplabv3plus_r101-cps.py'
segmentor = dict(decode_head=dict(num_classes=19))
