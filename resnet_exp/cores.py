"""How many cores there are for this process, and how many of them other processes leave free."""

import math
import os
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
GPUS = Path("/proc/driver/nvidia/gpus")
STAT = Path("/proc/stat")  # a line a core: ticks as user, nice, system, idle, waiting for a disk, irq, softirq, ...
IDLE = (3, 4)  # of them
# Of them; what follows is other virtual machines' time, and guests' that was counted before. `nice` counts in full: it
# yields to its own session alone (autogroups).
COUNTED = 7
# How long a thread that waits for others keeps its core before it sleeps, where the user says nothing: libgomp counts
# turns of a loop (300,000 by default), LLVM's and Intel's OpenMP milliseconds (200). On a quiet machine this costs
# a hundredth; where other processes want the cores, threads that spin keep from running those that they wait for.
OPENMP = {"GOMP_SPINCOUNT": "5000", "KMP_BLOCKTIME": "1"}
SHORTEST, LONGEST = 0.5, 10.0  # seconds over which a load can be told (a tick is a hundredth), and is that of today


def wait_briefly() -> None:
    """Has OpenMP do as OPENMP says, if it is not loaded yet: call it before torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in OPENMP.items():
            os.environ.setdefault(name, value)


def own_cores() -> set[int]:
    """The cores this process may run on."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def count_cores() -> int:
    """The cores this process may use: by its affinity, and by its container's share of the time (Linux)."""
    return max(1, math.ceil(min(len(own_cores()), cgroup_share())))


def control_groups(controller: str = "") -> list[Path]:
    """Where this process's control group says its limits, and those above it, whose limits hold too (Linux).

    Args:
        controller: of version 1; empty: version 2, which has all in one place.
    """
    top = group = CGROUPS / controller
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                group = top / path.lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(top)]


def cgroup_share() -> float:
    """The cores' worth of time that the control group of this process may take; infinite without a limit."""
    share = math.inf
    for folder in control_groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            share = min(share, int(quota) / int(period))
    with suppress(OSError, ValueError):  # version 1
        quota_us = int((CGROUPS / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((CGROUPS / "cpu" / "cpu.cfs_period_us").read_text())
        share = min(share, quota_us / period_us if quota_us > 0 else math.inf)
    return share


def count_gpus() -> int:
    """The NVIDIA GPUs that this process may use, as far as that can be told without torch (Linux)."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = len(list(GPUS.glob("*"))) if GPUS.is_dir() else 0
    if shown is None:
        return found
    names = (name.strip() for name in shown.split(","))
    return min(found, len([*takewhile(lambda name: name and name != "-1", names)]))  # CUDA heeds none behind a bad one


def times() -> tuple[float, float, float]:
    """Seconds: on the clock, that this process has computed, that its cores were busy (0 where nobody counts)."""
    busy = 0.0
    with suppress(OSError, ValueError, AttributeError):  # other systems than Linux
        mine = {f"cpu{number}" for number in own_cores()}
        rows = [line.split() for line in STAT.read_text().splitlines() if line.partition(" ")[0] in mine]
        ticks = [int(count) for _, *row in rows for place, count in enumerate(row[:COUNTED]) if place not in IDLE]
        busy = sum(ticks) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), time.process_time(), busy


class Neighbours:
    """What other processes take of this one's cores."""

    def __init__(self) -> None:
        self.since, self.cores = times(), 0.0

    def look(self) -> float:
        """Cores' worth of time that they take: since the last look; soon after it, what that one said.

        Long after it, as where one job of a sweep follows another, it takes a second to look anew.
        """
        if time.monotonic() - self.since[0] > LONGEST:
            self.since = times()
            time.sleep(2 * SHORTEST)
        seconds, own, busy = (now - then for now, then in zip(times(), self.since, strict=True))
        if seconds >= SHORTEST:
            self.since, self.cores = times(), max(0.0, (busy - own) / seconds)
        return self.cores


NEIGHBOURS = Neighbours()  # from the start of a command on: torch takes seconds to import


def free_cores() -> int:
    """The cores of `count_cores` that other processes do not keep busy; 1 at least.

    Threads that share a core wait for each other at the end of every operation, hundreds of times a step: on two cores,
    one of them busy, a step on both takes longer than on one.
    """
    return max(1, min(count_cores(), round(len(own_cores()) - NEIGHBOURS.look())))


def given_threads() -> int | None:
    """Threads for one run, where the user's OpenMP or a scheduler says so."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        asked = os.environ.get(name, "").split(",")[0]
        if asked.isdigit() and int(asked) > 0:
            return int(asked)
    return None
