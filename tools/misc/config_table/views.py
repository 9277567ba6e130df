# Copyright (c) mmseg_semi authors.
"""Text of the files that add pipelines to a data set.

``$DATA`` is the file of the data set, ``$CROP`` the crop.
"""
STRONG_STEPS = """\
    dict(type='SemiColorJitter'),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.299)),
    dict(type='RandomGaussianBlur'),
    dict(type='PackSemiInputs')
"""

_TRAIN_HEAD = """\
train_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations', num_classes=_base_.num_classes),
"""
_UNLABELED_HEAD = """\
unlabeled_pipeline = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
"""
_SUP = """\
    dict(
        type='MultiBranch',
        branch_field=branches,
        sup=[dict(type='PackSemiInputs')])
]
"""
_TEACHER = """\
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
]
"""
_STUDENT = """\
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')],
        unsup_student=strong)
]
"""
_TWO_SIDED = """\
    dict(type='RandomTwoSidedResize', low=0.5, high=2.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='symmetric'),
"""
_LONG_SIDE = """\
    dict(type='RandomLongSideResize', low=0.5, high=2.),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(type='RandomFlip', prob=0.5),
"""
_CROP = """\
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
"""
_CPS = """\
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=s, keep_ratio=True)]
                    for s in (0.5, 0.75, 1., 1.5, 1.75, 2.)]),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='symmetric')
]
"""
_MASKFORMER = """\
augmentation = [
    dict(
        type='RandomChoiceResize',
        scales=[int($SHORT * x * 0.1) for x in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=$LONG),
    dict(type='RandomPadCrop', crop_size=crop_size, pad='corner'),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5)
]
"""
_TWO = "branches = ['sup', 'unsup_teacher']\n"
_THREE = "branches = ['sup', 'unsup_teacher', 'unsup_student']\n"
_STRONG = f'strong = [\n{STRONG_STEPS}]\n'
_BOTH = '    *augmentation,\n'

NOTES = dict(
    strong="BRPG's augmentation: labelled and unlabelled images follow "
    'different resize and padding laws; the strong view has its colours '
    'changed.',
    weak="U2PL's augmentation: unlabelled images are resized and cropped as "
    'labelled ones are, and the strong view is a copy of the weak one, made '
    'on the device (`model.strong_copies=1`), that differs by its mixing '
    'alone.',
    plain='Crops alone: what varies the images comes on the device, in the '
    'method.',
    cps="CPS' augmentation: flip, one of six scales, crop; no colours. "
    'Labelled and unlabelled images follow one law, and the networks learn '
    'the images they label, mixed on the device.',
    fixmatch="The augmentation of UniMatch's code with one strong view: "
    'labelled and unlabelled images follow one law.',
    rc2l="MaskFormer's augmentation: the short side becomes 0.5 to 2 times "
    '$SHORT, crop, colours, flip. Labelled and unlabelled images follow one '
    'law, and the strong view is a copy of the weak one, made on the device '
    '(`model.strong_copies=1`), that differs by its mixing alone.',
    two='Two strong views with colours of their own.',
)

PIPELINES = dict(
    strong=_THREE + _STRONG + _TRAIN_HEAD + _TWO_SIDED + _SUP +
    _UNLABELED_HEAD + _LONG_SIDE + _STUDENT,
    weak=_TWO + _TRAIN_HEAD + _TWO_SIDED + _SUP + _UNLABELED_HEAD +
    _TWO_SIDED + _TEACHER,
    plain=_TWO + _TRAIN_HEAD + _CROP + _SUP + _UNLABELED_HEAD + _CROP +
    _TEACHER,
    cps=_TWO + _CPS + _TRAIN_HEAD + "    dict(type='InitValidMap'),\n" +
    _BOTH + _SUP + _UNLABELED_HEAD + _BOTH + _TEACHER,
    fixmatch=_THREE + _STRONG + _TRAIN_HEAD + _LONG_SIDE + _SUP +
    _UNLABELED_HEAD + _LONG_SIDE + _STUDENT,
    rc2l=_TWO + _MASKFORMER + _TRAIN_HEAD + _BOTH + _SUP + _UNLABELED_HEAD +
    _BOTH + _TEACHER,
    two="""\
branches = ['sup', 'unsup_teacher', 'unsup_student', 'unsup_student2']
train_pipeline = _base_.train_pipeline
train_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline[-1]['unsup_student2'] = _base_.strong
""",
)
