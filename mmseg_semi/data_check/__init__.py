# Copyright (c) mmseg_semi authors.
"""What is wrong with the data, before the first iteration."""
from .cache import FactCache, default_cache
from .checks import check_config, check_sets
from .config_sets import sets_from_config
from .findings import DataError, Finding, Report
from .scan import scan
from .sets import ImageSet, folder_set

__all__ = [
    'DataError', 'FactCache', 'Finding', 'ImageSet', 'Report', 'check_config',
    'check_sets', 'default_cache', 'folder_set', 'scan', 'sets_from_config'
]
