# Copyright (c) mmseg_semi authors.
__version__ = '0.1.0'
