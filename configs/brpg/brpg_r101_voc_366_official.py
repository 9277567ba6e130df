_base_ = './brpg_r101_voc_366.py'
# The mechanics of the authors' code where paper and code differ: rules per
# GPU (run it on 4), K-means in mini-batches, schedules by epoch, and a
# padding of labelled crops that counts as background. Add --amp.
epoch_iters = 638
model = dict(
    fidelity='official',
    terms=dict(
        consistency=dict(epoch_iters=epoch_iters),
        brpg=dict(schedule_begin=5 * epoch_iters)))
train_pipeline = _base_.train_pipeline
train_pipeline[4]['seg_pad_val'] = 0
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
