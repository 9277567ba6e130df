_base_ = './cmb_r18_digits_50.py'
model = dict(terms=dict(cmb=dict(num_labeled=100)))
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/digits-100.txt')))
