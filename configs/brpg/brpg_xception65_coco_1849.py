_base_ = [
    '../_base_/protocols/coco.py',
    '../_base_/models/deeplabv3plus_xception65_coco.py',
    '../_base_/datasets/coco81_strong.py', '../_base_/algorithms/brpg.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
epoch_iters = (_base_.protocol.images - 1849 + 3) // 4 // 4  # 7277
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    burn_in=epoch_iters,
    terms=dict(
        brpg=dict(
            head=dict(in_channels=512), window=(epoch_iters,
                                                2 * epoch_iters))))
train_cfg = dict(max_iters=30 * epoch_iters)
train_dataloader = dict(
    dataset=dict(labeled=dict(ann_file=_base_.protocol.lists['1849'])))
