_base_ = './cps-own_r101_city-cps_186.py'
# As the authors' loaders and losses come out: u1 shows the images of u0 in
# another crop, because both loaders have one order, and padding is labelled
# and learned like any other pixel.
branches = ['sup', 'unsup_teacher', 'partner_teacher']
crop = [*_base_.augmentation, dict(type='PackSemiInputs')]
train_pipeline = _base_.train_pipeline
train_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=crop,
        partner_teacher=crop)
]
model = dict(same_image_mix=True, label_padding=True)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(counts=(8, 8)),
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))
