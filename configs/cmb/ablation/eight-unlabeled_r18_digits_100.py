_base_ = '../cmb_r18_digits_100.py'
# As many unlabelled images in a step as the mean teacher has.
train_dataloader = dict(batch_size=16, sampler=dict(counts=(8, 8)))
