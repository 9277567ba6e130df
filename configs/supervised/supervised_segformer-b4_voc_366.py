_base_ = [
    '../_base_/protocols/voc.py', '../_base_/models/segformer_b4.py',
    '../_base_/datasets/voc12_strong.py', '../_base_/algorithms/supervised.py',
    '../_base_/schedules/sgd_voc12.py', '../_base_/semi_runtime.py'
]
# As many iterations as the semi-supervised methods on these labels.
epoch_iters = (_base_.protocol.images - 366 + 3) // 4 // 4  # 638
segmentor = _base_.segmentor
segmentor.decode_head.num_classes = _base_.num_classes
model = dict(segmentor=segmentor, test_cfg=_base_.inference)
train_cfg = dict(max_iters=80 * epoch_iters)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(16, 0)),
    dataset=dict(
        labeled=dict(ann_file=_base_.protocol.lists['366']), unlabeled=None))
