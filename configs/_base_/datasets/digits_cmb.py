_base_ = './digits.py'
# Shifts alone: what else varies the images comes on the device, in the method.
branches = ['sup', 'unsup_teacher']
train_pipeline = _base_.train_pipeline
train_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[-1] = dict(
    type='MultiBranch',
    branch_field=branches,
    unsup_teacher=[dict(type='PackSemiInputs')])
train_dataloader = dict(
    batch_size=12,
    sampler=dict(counts=(8, 4)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
