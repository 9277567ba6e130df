_base_ = './cps_r101_voc_662.py'
# Without CutMix: no second batch, and the labelled images have cross labels
# too.
model = dict(mixing=None, terms=dict(consistency=dict(loss_weight=1.5)))
train_dataloader = dict(batch_size=4, sampler=dict(counts=(2, 2)))
