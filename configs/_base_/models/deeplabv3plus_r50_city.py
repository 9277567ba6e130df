_base_ = './deeplabv3plus_r50.py'
segmentor = dict(data_preprocessor=dict(mean=[73.158, 82.909, 72.392]))
