_base_ = [
    '../_base_/models/segformer_b4_city.py',
    '../_base_/datasets/cityscapes.py', '../_base_/methods/brpg.py',
    '../_base_/schedules/adamw_segformer.py', '../_base_/semi_runtime.py'
]
epoch_iters = 325  # 2603 unlabelled images, 8 an iteration
model = dict(
    segmentor=_base_.segmentor,
    burn_in=epoch_iters,
    terms=dict(
        brpg=dict(
            # Linear-Dropout-Linear (BRPG 4.1.3) on what SegFormer's own
            # Linear-Dropout-Linear reads, its four maps side by side.
            head=dict(
                projector='linear',
                tap='decode_head.fusion_conv:input',
                in_channels=1024),
            # sampling in epochs 3 to 5, counted from 0
            window=(3 * epoch_iters, 6 * epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file='ImageSets/Semi/city-u2pl-372.txt')))
