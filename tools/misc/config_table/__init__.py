# Copyright (c) mmseg_semi authors.
"""The table of all shipped configs; tools/misc/generate_configs.py writes it.

=============== =========================================================
families.py     lists of labelled images and the pool they are drawn from
data_files.py   configs/_base_/protocols/ and the views of the data sets
common.py       every method under one protocol
own.py          methods as their own papers train them
own_cps.py      CPS, PPS and BRPG in CPS' recipe
official.py     what made the authors' numbers
ablations.py    rows of the papers' ablations
digits.py       DigitScenes
metafiles.py    metafile.yml of every method and model-index.yml
readmes.py      tables of the README files
renamed.py      what became of earlier names, for CHANGELOG.md
leaf.py         one config: its place, what it inherits, what differs
=============== =========================================================
"""
