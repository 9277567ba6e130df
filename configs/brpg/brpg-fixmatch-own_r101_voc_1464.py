_base_ = [
    '../_base_/protocols/voc.py',
    '../_base_/models/deeplabv3plus_r101-unimatch.py',
    '../_base_/datasets/voc12_fixmatch.py',
    '../_base_/algorithms/brpg_fixmatch.py', '../_base_/schedules/sgd_voc12.py',
    '../_base_/student_runtime.py'
]
# Table 10. The paper does not say how it trained this: data, losses and length
# are FixMatch's own, the window is that of the common protocol.
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
epoch_iters = (_base_.protocol.images - 1464 + 3) // 4 // 2  # 1140
model = dict(
    segmentor=segmentor,
    test_cfg=_base_.inference,
    terms=dict(
        brpg=dict(
            head=dict(in_channels=304), window=(epoch_iters,
                                                2 * epoch_iters))))
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['1464']),
        unlabeled=dict(ann_file=_base_.protocol.pool)))
