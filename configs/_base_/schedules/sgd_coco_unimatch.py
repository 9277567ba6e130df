_base_ = './sgd_voc12.py'
# UniMatch on COCO: 30 epochs of 8 + 8 images, four times the learning rate.
optim_wrapper = dict(optimizer=dict(lr=4e-3))
