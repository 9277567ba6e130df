# Copyright (c) mmseg_semi authors.
"""Running several trainings, and showing what came out of them.

Used by ``tools/analysis_tools/benchmark_table.py`` and
``tools/quickstart.sh``.
"""
from .display import make_console, make_display
from .jobs import FolderInUseError, TrainingJob, run_jobs
from .pages import write_between_markers
from .published import Figure, Published, PublishedError
from .results import BrokenRecordError, Result, find_results, read_results
from .runs import MissingConfigError, PlannedRun
from .tables import Row, SpecError, TableSpec, make_rows, rows_of

__all__ = [
    'BrokenRecordError', 'Figure', 'FolderInUseError', 'MissingConfigError',
    'PlannedRun', 'Published', 'PublishedError', 'Result', 'Row', 'SpecError',
    'TableSpec', 'TrainingJob', 'find_results', 'make_console', 'make_display',
    'make_rows', 'read_results', 'rows_of', 'run_jobs', 'write_between_markers'
]
