# Copyright (c) mmseg_semi authors.
"""``python -m mmseg_semi`` is ``mmseg-semi``."""
import sys

from .cli.main import main

if __name__ == '__main__':
    sys.exit(main())
