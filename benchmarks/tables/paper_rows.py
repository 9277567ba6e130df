# Copyright (c) mmseg_semi authors.
"""Which rows of the five papers' tables the package can train, and by what.

``CONFIGS``: table -> row -> the begin of the config names, alone, with
overrides, or for each column. Protocol and number of labels follow from the
published figure; a begin that ends with a protocol (``..._voc``) has its own.
"""

SUP = 'supervised/supervised_r101'
SUP_U2PL = 'supervised/supervised-u2pl-own_r101'
SUP_SEGFORMER = 'supervised/supervised_segformer-b4'
BRPG, BRPG_SEGFORMER = 'brpg/brpg_r101', 'brpg/brpg_segformer-b4'
PCR, PCR_OWN = 'pcr/pcr_r101', 'pcr/pcr-own_r101'
U2PL_OWN = 'u2pl/u2pl-own_r101'
CPS, PPS = 'cps/cps-own_r101', 'pps/pps-own_r101'
CMB, CMB_COCO = 'cmb/cmb-own_v2-r101', 'cmb/cmb-own_v2-r101-coco'
RC2L, RC2L_COCO = 'rc2l/rc2l-own_r101', 'rc2l/rc2l-own_r101-coco'
TERMS = 'model.terms.'


def on(stem: str, **options) -> tuple[str, dict]:
    """A config with overrides; ``__`` stands for a dot."""
    return stem, {
        TERMS + key.replace('__', '.'): value
        for key, value in options.items()
    }


def only(columns, entry) -> dict:
    """An entry for some of the columns."""
    return {str(column): entry for column in columns}


def window(stem: str, epoch: int, protocol: str, windows) -> dict:
    """Rows of BRPG's Table 7; ``epoch`` is in iterations."""
    return {
        f'{protocol}:[{a},{b}]': on(stem, brpg__window=[a * epoch, b * epoch])
        for a, b in windows
    }


# Baselines of U2PL's repository, on its lists.
BASELINES_U2PL = {
    'mt': 'mean_teacher/mean-teacher-mse_r101',
    'cutmix-seg': 'cutmix_seg/cutmix-seg_r101',
    'u2pl': 'u2pl/u2pl_r101'
}
MAIN = {
    **BASELINES_U2PL, 'supervised': SUP,
    'brpg': BRPG,
    'supervised-segformer': SUP_SEGFORMER,
    'brpg-segformer': BRPG_SEGFORMER,
    'pcr': PCR
}
VOC_WINDOWS = ((0, 1), (2, 3), (5, 6), (0, 2), (1, 3), (1, 6), (1, 11))
CITY_WINDOWS = ((0, 3), (6, 9), (15, 18), (0, 6), (3, 9), (3, 18), (3, 33))
FEW = (92, 183, 366, 732)
TRAIN_COCO = ('train-366', 'train-183', 'train-92', 'aug-662')
TRAIN = ('train-732', 'train-1464', 'aug-5291', 'aug-2646', 'aug-1323')
RC2L_VOC = {**only(TRAIN_COCO, RC2L_COCO), **only(TRAIN, RC2L)}
NO_TERM = dict(rc2l=None)

CONFIGS = {
    'brpg/t2': {
        **MAIN, 'cps': only(FEW, CPS),
        'pps': only(FEW, PPS),
        'rc2l': {
            **only((92, 183, 366), RC2L_COCO),
            **only((732, ), RC2L)
        }
    },
    'brpg/t3': {
        **MAIN, 'cps': CPS,
        'pps': PPS
    },
    'brpg/t4': {
        **MAIN, 'u2pl': U2PL_OWN,
        'pcr': PCR_OWN,
        'cps': 'cps/cps_r101',
        'unimatch': 'unimatch/unimatch-own_r101_city-cps'
    },
    'brpg/t5': {
        'supervised': 'supervised/supervised_xception65',
        'brpg': 'brpg/brpg_xception65'
    },
    'brpg/t6': {
        'I': SUP,
        'II': 'mean_teacher/mean-teacher_r101',
        'III': {
            'voc-366':
            'brpg/brpg-plain_r101',
            **only(('voc-1323', 'city-372', 'city-744'),
                   on(BRPG,
                      brpg__split=False,
                      brpg__num_prototypes=[4],
                      brpg__apo=None))
        },
        'IV': {
            'voc-366': 'brpg/brpg-cpg_r101',
            **only(('voc-1323', 'city-372', 'city-744'),
                   on(BRPG, brpg__apo=None))
        },
        'V': BRPG
    },
    'brpg/t7': {
        **window(BRPG, 638, 'voc', VOC_WINDOWS), 'voc:[1,2]': BRPG,
        **window(BRPG, 325, 'city', CITY_WINDOWS), 'city:[3,6]': BRPG
    },
    'brpg/t8': {
        **{
            eta: on(BRPG, brpg__threshold=float(eta))
            for eta in ('0.7', '0.75', '0.85', '0.9', '0.95')
        }, '0.8': BRPG,
        'per class': 'brpg/ablation/class-threshold_r101'
    },
    'brpg/t9': {
        'default': BRPG,
        'I': only(('voc-366', ), 'brpg/ablation/pretrained-head_r101'),
        'II': only(('voc-366', ), 'brpg/ablation/cls-features_r101'),
        'III': only(('voc-366', ), 'brpg/ablation/decoder-features_r101')
    },
    'brpg/t10': {
        'fixmatch': 'fixmatch/fixmatch-own_r101',
        'fixmatch-brpg': 'brpg/brpg-fixmatch-own_r101',
        'cps': 'cps/cps-own_r101_voc',
        'cps-brpg': 'brpg/brpg-cps-own_r101'
    },
    'brpg/ta11': {
        **{
            count: on(BRPG, brpg__samples_per_image=int(count))
            for count in ('1000', '3000', '10000')
        }, '5000': BRPG
    },
    'brpg/ta12': {
        **{
            size: on(BRPG, brpg__capacity=int(size))
            for size in ('10000', '20000', '50000')
        }, '30000': BRPG
    },
    'brpg/ta13': {
        **{
            eta: on(BRPG, brpg__confidence=[float(eta)] * 2)
            for eta in ('0.7', '0.75', '0.8', '0.85', '0.9', '0.95')
        },
        **{
            f'[{a},{b}]': on(BRPG, brpg__confidence=[a, b])
            for a, b in ((0.8, 0.9), (0.85, 0.95), (0.9, 0.95))
        }, '[0.8,0.95]': BRPG
    },
    'brpg/ta14': {
        '0': on(BRPG, brpg__apo=None),
        '1': BRPG,
        **{
            extra: on(BRPG, brpg__apo__extra=int(extra))
            for extra in '234'
        }
    },
    'pcr/t1': {
        **BASELINES_U2PL, 'supervised': SUP,
        'pcr': PCR
    },
    'pcr/t2': {
        **BASELINES_U2PL, 'supervised': SUP,
        'cps': CPS,
        'pcr': PCR
    },
    'pcr/t3': {
        **BASELINES_U2PL, 'u2pl': U2PL_OWN,
        'supervised': SUP_U2PL,
        'cps': 'cps/cps_r101',
        'pcr': PCR_OWN
    },
    'pcr/t4': {
        '1': 'pcr/ablation/linear_r101',
        '2': 'pcr/ablation/prototype_r101',
        '3': 'pcr/ablation/frozen_r101',
        '4': PCR
    },
    'pcr/t6': {
        'linear': {
            'cutout': (PCR, {
                'model.mixing.kind': 'cutout',
                'model.terms.pcr': None
            }),
            'classmix': (PCR, {
                'model.mixing.kind': 'classmix',
                'model.mixing.extra': 0,
                'model.terms.pcr': None
            })
        },
        'pcr': {
            'cutout': 'pcr/ablation/cutout_r101',
            'classmix': 'pcr/ablation/classmix_r101'
        }
    },
    'pcr/t7': {
        **{
            tau:
            only(('linear', ),
                 on(PCR,
                    consistency__threshold=float(tau),
                    pcr__threshold=float(tau)))
            for tau in ('0.95', '0.90', '0.85', '0.75', '0.70')
        }, '0.80': only(('linear', ), PCR)
    },
    'cmb/t2': {
        'cmb': only((100, 372, 744), CMB),
        'cmb-coco': only((100, 372, 744), CMB_COCO)
    },
    'cmb/t3': {
        'cmb': only((212, 530, 1323), CMB),
        'cmb-coco': only((212, 530, 1323), CMB_COCO),
        'cmb-v3plus': only((212, 530, 1323), 'cmb/cmb-own_v3plus-r50')
    },
    'cmb/t4': {
        'cmb-ssda': 'cmb/cmb-ssda-own_v2-r101',
        'cmb': CMB
    },
    'cmb/t5': {
        'sup':
        on(CMB_COCO,
           consistency=None,
           entropy=None,
           cmb=None,
           class_balance=None),
        'sup-pseudo':
        on(CMB_COCO, entropy=None, cmb=None),
        'sup-ent':
        on(CMB_COCO, consistency=None, cmb=None),
        'sup-contr':
        on(CMB_COCO, consistency=None, entropy=None),
        'sup-pseudo-ent':
        on(CMB_COCO, cmb=None),
        'sup-pseudo-contr':
        on(CMB_COCO, entropy=None),
        'sup-ent-contr':
        on(CMB_COCO, consistency=None),
        'cmb':
        CMB_COCO
    },
    'cmb/t6': {
        **{
            f'lambda=1e{power}': on(
                CMB_COCO, cmb__loss_weight=[10.**power] * 2)
            for power in (4, 2, 1, 0, -2, -4)
        }, 'lambda=1e-1': CMB_COCO
    },
    'cmb/t7': {
        **{
            f'size={size}': on(CMB_COCO, cmb__capacity=size)
            for size in (32, 64, 128, 512)
        }, 'size=256': CMB_COCO
    },
    'cmb/t8': {
        'base':
        on(CMB_COCO,
           cmb__memory_network='student',
           cmb__class_attention=False,
           cmb__quality_filter=False),
        'teacher':
        on(CMB_COCO, cmb__class_attention=False, cmb__quality_filter=False),
        'attention':
        on(CMB_COCO, cmb__memory_network='student', cmb__quality_filter=False),
        'quality':
        on(CMB_COCO, cmb__memory_network='student',
           cmb__class_attention=False),
        'cmb':
        CMB_COCO
    },
    'pps/t1': {
        'cps': CPS,
        'pps': PPS
    },
    'pps/t2': {
        'cps': CPS,
        'pps': PPS
    },
    'pps/t3': {
        'cps': CPS,
        'pps': PPS
    },
    'pps/t4': {
        'cps': CPS,
        'mpm': 'pps/ablation/mpm-own_r101',
        'mpm-pcl': 'pps/ablation/mpm-pcl-own_r101',
        'mpm-par': 'pps/ablation/mpm-par-own_r101',
        'pps': PPS
    },
    'pps/t5': {
        **{
            f'n={n}': f'pps/ablation/n{n}-own_r101'
            for n in (1, 3, 7, 9)
        }, 'n=5': PPS
    },
    'pps/t6': {
        **{
            f'n={n}': f'pps/ablation/n{n}-own_r101'
            for n in (1, 3, 5, 9)
        }, 'n=7': PPS
    },
    'pps/t7': {
        f'lambda{i}={value}': on(PPS, **{key: float(value)})
        for i, key, values in ((1, 'pps__contrast_weight',
                                ('0.2', '0.5', '0.8', '1.5', '2')),
                               (2, 'pps__prototype_weight', ('0.5', '1', '1.5',
                                                             '2', '3')),
                               (3, 'pps__activation_weight',
                                ('0.005', '0.01', '0.05', '0.1', '0.2')))
        for value in values
    },
    'rc2l/t1': {
        'supervised': {
            column: on(stem, **NO_TERM)
            for column, stem in RC2L_VOC.items()
        },
        'rc2l': RC2L_VOC
    },
    'rc2l/t2': {
        'supervised': on(RC2L_COCO, **NO_TERM),
        'rc2l': RC2L_COCO
    },
    'rc2l/t3': {
        'baseline': 'rc2l/ablation/baseline-own_r101',
        'smc': 'rc2l/ablation/smc-own_r101',
        'smc-rcc': 'rc2l/ablation/smc-rcc-own_r101',
        'smc-rcc-rmc': 'rc2l/ablation/smc-rcc-rmc-own_r101',
        'rc2l': RC2L
    },
    'rc2l/t4': {
        f'alpha={alpha}': on(RC2L, rc2l__loss_weight=float(alpha))
        for alpha in ('1.0', '1.5', '2.0')
    },
    'rc2l/t5': {
        **{
            f'N={count}': (RC2L, {
                'model.segmentor.decode_head.num_queries': count
            })
            for count in (20, 100)
        }, 'N=50': RC2L
    },
}
# Which row the others of a table are compared with.
BASELINES = {
    'brpg/t2': 'supervised',
    'brpg/t3': 'supervised',
    'brpg/t4': 'supervised',
    'brpg/t5': 'supervised',
    'brpg/t6': 'II',
    'pcr/t1': 'supervised',
    'pcr/t2': 'supervised',
    'pcr/t3': 'supervised',
    'pcr/t4': '1',
    'cmb/t5': 'sup',
    'pps/t1': 'cps',
    'pps/t2': 'cps',
    'pps/t3': 'cps',
    'pps/t4': 'cps',
    'rc2l/t1': 'supervised',
    'rc2l/t2': 'supervised',
    'rc2l/t3': 'baseline'
}
