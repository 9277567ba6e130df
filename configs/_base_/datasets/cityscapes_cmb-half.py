_base_ = './cityscapes_cmb.py'
# Cityscapes at half resolution, as CMB trains and tests DeepLabV2: Pillow
# smooths the image and takes the odd pixels of the label (2i + 1). Tests
# compare with the whole label.
half = dict(type='Resize', scale_factor=0.5, keep_ratio=True, backend='pillow')
train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, half)
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline.insert(2, half)
test_pipeline = _base_.test_pipeline
test_pipeline.insert(1, half)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]['transforms'][0] = [
    dict(type='Resize', scale_factor=r, keep_ratio=True, backend='pillow')
    for r in (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
]
train_dataloader = dict(
    batch_size=7,
    sampler=dict(counts=(5, 2)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
