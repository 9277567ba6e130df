_base_ = './pps_r101_voc_662.py'
# Few labels: the unlabelled images are the rest of the 1,464; the length of
# the training is not stated, this is that of 662 labels.
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-pseudoseg-1_2.txt'),
        unlabeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt')))
