# Copyright (c) mmseg_semi authors.
"""What became of the configs of version 0.1, for CHANGELOG.md.

Then one name could stand for several lists. A rule is a pattern of a name,
without suffix, and what stands there now; the first that fits counts.
"""
import re
from typing import Optional

_BLENDED = '(662|1323|2646|5291)'
_CITY = '(186|372|744|1488)'
_FEW = '(92|183|366|732)'
_RULES = [
    (r'brpg/ablation/paper-losses_r101_voc_366', 'brpg/brpg_r101_voc_366'),
    # BRPG's recipe, supervised and mean teacher: U2PL's lists
    (rf'((?:brpg|supervised|mean_teacher|pcr)/[\w-]+?_(?:r101|segformer-b4))'
     rf'_voc_{_BLENDED}', r'\1_voc-blended_\2'),
    # BRPG on the frameworks' own recipes
    (r'brpg/(brpg-cps|brpg-fixmatch)_r101_voc_(\d+)',
     r'brpg/\1-own_r101_voc_\2'),
    # CPS and PPS: CPS' lists
    (rf'(cps|pps)/((?:ablation/)?[\w-]+)_r101_voc_{_BLENDED}',
     r'\1/\2-own_r101_voc-blended-cps_\3'),
    (rf'(cps|pps)/((?:ablation/)?[\w-]+)_r101_voc_{_FEW}',
     r'\1/\2-own_r101_voc-pseudoseg_\3'),
    (rf'(cps|pps)/((?:ablation/)?[\w-]+)_r101_city_{_CITY}',
     r'\1/\2-own_r101_city-cps_\3'),
    # FixMatch and UniMatch
    (r'(fixmatch|unimatch)/(\w+)_r101_voc_(92|183|366|732|1464)',
     r'\1/\2-own_r101_voc_\3'),
    (rf'(fixmatch|unimatch)/(\w+)_r101_voc_{_BLENDED}',
     r'\1/\2-own_r101_voc-blended_\3'),
    (rf'(fixmatch|unimatch)/(\w+)_r101_city_{_CITY}',
     r'\1/\2-own_r101_city-cps_\3'),
    # CMB
    (r'cmb/(cmb|cmb-ssda)_(v2-r101-coco|v2-r101|v3plus-r50)_(voc|city)_(\d+)',
     r'cmb/\1-own_\2_\3-cmb_\4'),
    # PCR on Cityscapes: 16 + 16 images, twice the rate
    (rf'pcr/pcr_r101_city_{_CITY}', r'pcr/pcr-own_r101_city_\1'),
    # RC2L
    (r'rc2l/((?:ablation/)?[\w-]+)_(r101(?:-coco)?)_city_(\d+)',
     r'rc2l/\1-own_\2_city-cps_\3'),
    (r'rc2l/rc2l_r101_voc_1464', 'rc2l/rc2l-own_r101_voc_1464'),
    (rf'rc2l/((?:ablation/)?[\w-]+)_(r101(?:-coco)?)_voc_{_BLENDED}',
     r'rc2l/\1-own_\2_voc-blended-cps_\3'),
    (rf'rc2l/((?:ablation/)?[\w-]+)_(r101(?:-coco)?)_voc_{_FEW}',
     r'rc2l/\1-own_\2_voc-pseudoseg_\3'),
]


def new_name(old: str) -> Optional[str]:
    """Today's name of a config, None if it is the same.

    Args:
        old (str): Path below ``configs/`` without suffix, as of version 0.1.
    """
    stem, official = re.fullmatch(r'(.*?)(_official)?', old).groups()
    for pattern, replacement in _RULES:
        if re.fullmatch(pattern, stem):
            return re.sub(pattern, replacement, stem) + (official or '')
    return None
