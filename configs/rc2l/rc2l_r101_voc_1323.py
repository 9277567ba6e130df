_base_ = './rc2l_r101_voc_2646.py'
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-blended-cps-1323.txt')))
