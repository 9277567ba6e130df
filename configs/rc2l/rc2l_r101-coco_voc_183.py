_base_ = './rc2l_r101-coco_voc_366.py'
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file='ImageSets/Semi/voc12-pseudoseg-1_8.txt')))
