"""Peak memory, as the kernel counted it."""

import resource
import sys


def largest_resident_mib() -> float:
    """Return the peak resident size of this process or of one that it waited for."""
    own = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own / (2**20 if sys.platform == "darwin" else 2**10)
