# Copyright (c) mmseg_semi authors.
"""Write the tables of the five papers, as benchmark_table.py reads them.

Rows, columns and figures are those of ``configs/published.json``. ``CONFIGS``
says which of them the package can train: for a table and one of its rows the
begin of the config names; protocol and number of labels follow from the
figure. Run this again after configs were renamed.
"""
import argparse
import json
import sys
from pathlib import Path

from mmseg_semi.benchmarking.published import Published
from mmseg_semi.benchmarking.runs import check_config

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PAPERS = ('brpg', 'pcr', 'cmb', 'pps', 'rc2l')

SUP, SUP_SEGFORMER = 'supervised/supervised_r101', \
    'supervised/supervised_segformer-b4'
BRPG, BRPG_SEGFORMER = 'brpg/brpg_r101', 'brpg/brpg_segformer-b4'
PCR, CPS, PPS = 'pcr/pcr_r101', 'cps/cps_r101', 'pps/pps_r101'
CMB, CMB_COCO = 'cmb/cmb_v2-r101', 'cmb/cmb_v2-r101-coco'
RC2L, RC2L_COCO = 'rc2l/rc2l_r101', 'rc2l/rc2l_r101-coco'
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


def window(stem: str, epoch: int, protocol: str, *windows) -> dict:
    """Rows of BRPG's Table 7; ``epoch`` is in iterations."""
    return {
        f'{protocol}:[{a},{b}]': on(stem, brpg__window=[a * epoch, b * epoch])
        for a, b in windows
    }


MAIN = {
    'supervised': SUP,
    'brpg': BRPG,
    'supervised-segformer': SUP_SEGFORMER,
    'brpg-segformer': BRPG_SEGFORMER,
    'pcr': PCR
}
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
    'brpg/t4': MAIN,
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
        **window(BRPG, 638, 'voc', (0, 1), (2, 3), (5, 6), (0, 2), (1, 3), (1, 6), (1, 11)), 'voc:[1,2]':
        BRPG,
        **window(BRPG, 325, 'city', (0, 3), (6, 9), (15, 18), (0, 6), (3, 9), (3, 18), (3, 33)), 'city:[3,6]':
        BRPG
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
        'fixmatch': 'fixmatch/fixmatch_r101',
        'fixmatch-brpg': 'brpg/brpg-fixmatch_r101',
        'cps': only(FEW, CPS),
        'cps-brpg': 'brpg/brpg-cps_r101'
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
        'supervised': SUP,
        'pcr': PCR
    },
    'pcr/t2': {
        'supervised': SUP,
        'cps': CPS,
        'pcr': PCR
    },
    'pcr/t3': {
        'supervised': SUP,
        'pcr': PCR
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
        'cmb-v3plus': only((212, 530, 1323), 'cmb/cmb_v3plus-r50')
    },
    'cmb/t4': {
        'cmb-ssda': 'cmb/cmb-ssda_v2-r101',
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
        'mpm': 'pps/ablation/mpm_r101',
        'mpm-pcl': 'pps/ablation/mpm-pcl_r101',
        'mpm-par': 'pps/ablation/mpm-par_r101',
        'pps': PPS
    },
    'pps/t5': {
        **{
            f'n={n}': f'pps/ablation/n{n}_r101'
            for n in (1, 3, 7, 9)
        }, 'n=5': PPS
    },
    'pps/t6': {
        **{
            f'n={n}': f'pps/ablation/n{n}_r101'
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
        'baseline': 'rc2l/ablation/baseline_r101',
        'smc': 'rc2l/ablation/smc_r101',
        'smc-rcc': 'rc2l/ablation/smc-rcc_r101',
        'smc-rcc-rmc': 'rc2l/ablation/smc-rcc-rmc_r101',
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
# Protocols that config names do not tell apart.
PROTOCOLS = {
    'voc-blended': 'voc',
    'voc-blended-cps': 'voc',
    'voc-pseudoseg': 'voc',
    'voc-cmb': 'voc',
    'city-cps': 'city',
    'city-cmb': 'city'
}


def make_row(entry, figure, column: str, name: str) -> dict:
    """A row of a table: name, figure, and what trains it."""
    row = dict(name=name, published=figure.id)
    if isinstance(entry, dict):
        entry = entry.get(column)
    if entry is None:
        return row
    stem, options = (entry, {}) if isinstance(entry, str) else entry
    protocol = PROTOCOLS.get(figure.protocol, figure.protocol)
    row['config'] = f'configs/{stem}_{protocol}_{figure.labels}.py'
    if options:
        row['options'] = options
    return row


def make_spec(table: dict, published: Published) -> dict:
    """One table of a paper as benchmark_table.py reads it."""
    configs = CONFIGS.get(table['id'], {})
    unknown = set(configs) - {row['id'] for row in table['rows']}
    if unknown:
        raise SystemExit(f'{table["id"]} has no rows {sorted(unknown)}.')
    parts: dict = {}
    columns = {
        column['id']: '{protocol}_{labels}'.format_map({
            **table,
            **column
        })
        for column in table['columns']
    }
    for column in table['columns']:
        for row in table['rows']:
            id = f'{table["id"]}/{row["id"]}/{column["id"]}'
            if id not in published.figures:
                continue
            figure = published[id]
            part = columns[column['id']]
            if list(columns.values()).count(part) > 1:
                part += f' {column["id"]}'
            parts.setdefault(part, []).append(
                make_row(
                    configs.get(row['id']), figure, column['id'], row['name']))
    names = {row['id']: row['name'] for row in table['rows']}
    paper = published.papers[table['paper']]['name']
    spec = dict(
        title=f'{paper}, {table["table"]}: {table["title"]}',
        dataset=table.get('dataset', 'PASCAL VOC 2012 and Cityscapes'),
        records='../results.jsonl',
        page=f'{table["paper"]}.md')
    if table['id'] in BASELINES:
        spec['baseline'] = names[BASELINES[table['id']]]
    return dict(
        spec,
        parts=[
            dict(protocol=name, seeds=[0], rows=rows)
            for name, rows in parts.items()
        ])


def to_text(spec: dict) -> str:
    """JSON with a line for every row."""
    head = [
        f'  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},'
        for key, value in spec.items() if key != 'parts'
    ]
    parts = []
    for part in spec['parts']:
        rows = ',\n'.join('        ' + json.dumps(row, ensure_ascii=False)
                          for row in part['rows'])
        parts.append(f'    {{\n      "protocol": "{part["protocol"]}",\n'
                     f'      "seeds": {json.dumps(part["seeds"])},\n'
                     f'      "rows": [\n{rows}\n      ]\n    }}')
    return '\n'.join(
        ['{', *head, '  "parts": [', ',\n'.join(parts), '  ]', '}']) + '\n'


def make_all(published: Published) -> dict[str, str]:
    """File name -> content of every table of the five papers.

    Tables of something else than mIoU are left out.
    """
    return {
        f'{table["id"].replace("/", "_")}.json':
        to_text(make_spec(table, published))
        for table in published.tables.values()
        if table['paper'] in PAPERS and table['table'].startswith('Table')
        and table.get('metric', 'mIoU') == 'mIoU'
    }


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.parse_args(argv)
    texts = make_all(Published())
    for text in texts.values():
        for part in json.loads(text)['parts']:
            for row in part['rows']:
                if row.get('config'):
                    check_config(
                        row['config'], ROOT, f'{HERE}/make_specs.py, '
                        f'{row["published"]},')
    for old in HERE.glob('*.json'):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (HERE / name).write_text(text, 'utf-8')
    print(f'{len(texts)} tables written to {HERE}')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f'error: {error}')
