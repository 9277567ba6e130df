# Copyright (c) mmseg_semi authors.
