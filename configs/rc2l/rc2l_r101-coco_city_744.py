_base_ = './rc2l_r101-coco_city_372.py'
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-cps-744.txt')))
