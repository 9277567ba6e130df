# Copyright (c) mmseg_semi authors.
"""One page about trainings: how they went and what their models see."""
from .page import check_replaceable, collect, render, write_report

__all__ = ['check_replaceable', 'collect', 'render', 'write_report']
