_base_ = './supervised-maskquery_r18_digits_50.py'
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/digits-100.txt')))
