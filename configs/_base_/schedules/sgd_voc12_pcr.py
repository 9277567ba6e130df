_base_ = './sgd_voc12.py'
# PCR, Sec. 4.1: the same with another power.
param_scheduler = [
    dict(type='PolyLR', power=0.8, eta_min=0., begin=0, by_epoch=False)
]
