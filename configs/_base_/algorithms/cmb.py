# CMB (Alonso et al., ICCV 2021). The teacher labels the plain crop in train
# mode; ClassMix and Table 1's augmentation make two strong views of it, and a
# weak one of the labelled images. Iterations up to 1,000 fill no memory, those
# up to 2,000 have neither contrast, pseudo-labels, class weights nor ClassMix
# of unlabelled images. As in the authors' code the teacher never switches
# dropout off; DeepLabV2 has none.
# Give `terms.cmb.head.in_channels` and `terms.cmb.num_labeled` in the config;
# on VOC also `terms.class_balance=None`. The rest has the paper's values.
model = dict(
    type='MeanTeacher',
    momentum=0.997,
    buffers='own',
    labeler_mode='train',
    labeler_dropout=True,
    joint=False,
    strong_copies=2,
    predict_with='student',
    labeled_mixing=dict(kind='classmix', prob=0.2, per_image=True),
    mixing=dict(kind='classmix', prob=0.8, per_image=True, begin=2001),
    augment=dict(
        sup=dict(
            scale=(0.75, 1.75),
            scale_prob=0.5,
            flip_prob=0.5,
            jitter_prob=0.2,
            brightness=0.15,
            contrast=0.15,
            saturation=0.075,
            hue=0.05),
        strong=dict(
            scale=(0.75, 1.75),
            scale_prob=0.8,
            flip_prob=0.5,
            jitter_prob=0.8,
            brightness=0.3,
            contrast=0.3,
            saturation=0.15,
            hue=0.1,
            blur_prob=0.2,
            blur_sigma=(0.1, 1.5))),
    terms=dict(
        class_balance=dict(type='ClassBalance', begin=2001),
        supervised=dict(type='SupervisedLoss'),
        consistency=dict(
            type='PixelConsistency',
            filter='none',
            sharpen=6.,
            normalizer='all',
            ramp=dict(length=2000, kind='hard')),
        entropy=dict(type='EntropyMinimization', loss_weight=0.01),
        cmb=dict(
            type='CMB',
            head=dict(channels=256, tap='pre_cls'),
            capacity=256,
            memory_start=1001,
            contrast_start=2001,
            threshold=0.95,
            loss_weight=(0.1, 0.1))))
