_base_ = './sgd_cps.py'
# PPS, Sec. 4.1: 0.01 on VOC and 0.02 on Cityscapes.
optim_wrapper = dict(optimizer=dict(lr=0.01, weight_decay=5e-4))
