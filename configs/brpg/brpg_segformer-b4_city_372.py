_base_ = [
    '../_base_/protocols/city.py', '../_base_/models/segformer_b4.py',
    '../_base_/datasets/cityscapes_strong.py', '../_base_/algorithms/brpg.py',
    '../_base_/schedules/adamw_segformer.py', '../_base_/semi_runtime.py'
]
epoch_iters = (_base_.protocol.images - 372 + 3) // 4 // 2  # 325
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    burn_in=epoch_iters,
    terms=dict(
        brpg=dict(
            head=dict(
                projector='linear',
                tap='decode_head.fusion_conv:input',
                in_channels=1024),
            window=(3 * epoch_iters, 6 * epoch_iters))))
train_cfg = dict(max_iters=200 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['372'])))
