# Copyright (c) mmseg_semi authors.
"""Memory of the computer."""
import os


def free_memory() -> int | None:
    """Bytes that can be had without swapping, where the system tells."""
    try:
        with open('/proc/meminfo', encoding='ascii') as file:
            for line in file:
                if line.startswith('MemAvailable:'):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (ValueError, OSError, AttributeError):
        return None
