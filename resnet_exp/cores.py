"""How many cores there are for this process."""

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def count_cores() -> int:
    """The cores this process may use: by its affinity, and by its container's share of the time (Linux)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cgroup_share())))


def cgroup_share() -> float:
    """The cores' worth of time that the control group of this process may take; infinite without a limit."""
    share = math.inf
    with suppress(OSError, ValueError, IndexError):
        own = next(
            line.split("::", 1)[1] for line in Path("/proc/self/cgroup").read_text().splitlines() if "::" in line
        )
        group = CGROUPS / own.lstrip("/")
        for folder in (group, *group.parents):  # a limit above holds too
            with suppress(OSError, ValueError):
                quota, period = (folder / "cpu.max").read_text().split()
                share = min(share, int(quota) / int(period))
            if folder == CGROUPS:
                break
    with suppress(OSError, ValueError):  # version 1
        quota_us = int((CGROUPS / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((CGROUPS / "cpu" / "cpu.cfs_period_us").read_text())
        share = min(share, quota_us / period_us if quota_us > 0 else math.inf)
    return share


def default_threads() -> int:
    """Threads for one run: what the user's OpenMP or a scheduler says, else one a core."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        asked = os.environ.get(name, "").split(",")[0]
        if asked.isdigit() and int(asked) > 0:
            return int(asked)
    return count_cores()
