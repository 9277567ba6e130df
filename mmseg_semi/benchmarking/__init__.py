# Copyright (c) mmseg_semi authors.
"""Running several trainings, and showing what came out of them.

Used by ``tools/analysis_tools/make_table.py`` and ``tools/quickstart.sh``.
"""
from .display import make_console, make_display
from .jobs import FolderInUseError, TrainingJob, run_jobs
from .runs import PlannedRun
from .tables import TableSpec, make_rows, write_between_markers

__all__ = [
    'FolderInUseError', 'PlannedRun', 'TableSpec', 'TrainingJob',
    'make_console', 'make_display', 'make_rows', 'run_jobs',
    'write_between_markers'
]
