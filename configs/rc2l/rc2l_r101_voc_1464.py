_base_ = './rc2l_r101_voc_732.py'
# "1.4k/9k": the other images with SBD masks are the unlabelled ones.
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-classic-1464.txt'),
        unlabeled=dict(ann_file='ImageSets/Semi/voc12-trainaug.txt')))
