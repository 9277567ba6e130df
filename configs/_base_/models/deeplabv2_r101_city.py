_base_ = './deeplabv2_r101.py'
segmentor = dict(data_preprocessor=dict(mean=[73.158, 82.909, 72.392]))
