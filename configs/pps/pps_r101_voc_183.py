_base_ = './pps_r101_voc_732.py'
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-pseudoseg-1_8.txt')))
