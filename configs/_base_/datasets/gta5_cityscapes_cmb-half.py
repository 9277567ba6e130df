_base_ = './cityscapes_cmb-half.py'
# Semi-supervised domain adaptation: batches of labelled Cityscapes (even
# iterations) and of GTA5 (odd ones), the last hundred of Cityscapes alone.
# The masks of GTA5 come from tools/dataset_converters/gta5_to_trainids.py.
train_dataloader = dict(
    sampler=dict(alternate=True, target_only_last=100),
    dataset=dict(
        labeled_source=dict(
            type='GTA5Dataset',
            data_root='data/GTA5',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            ann_file='ImageSets/Segmentation/train.txt',
            pipeline=_base_.train_pipeline)))
