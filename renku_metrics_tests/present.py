"""The present of the tests: one constant moment, whatever day they run on."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import botocore.auth
import time_machine

from renku_metrics.periods import ONE_DAY, midnight

# A Wednesday near the end of a month: the running week and month have days that are over, and days to come.
TODAY = dt.date(2026, 11, 25)
YESTERDAY = TODAY - ONE_DAY
NOW = midnight(TODAY) + dt.timedelta(hours=12)


@contextmanager
def constant_present(begin: dt.datetime = NOW) -> Iterator[None]:
    """The clock of this process goes on from ``begin``; monotonic clocks and other processes are left alone."""
    # As seconds, because a date with a time zone would set the time zone of the process too.
    with time_machine.travel(begin.timestamp()), patch.object(botocore.auth, "get_current_datetime", _time_to_sign):
        yield


@contextmanager
def real_present() -> Iterator[None]:
    """Within ``constant_present``: this process has the clock of the machine again, as the processes it starts have."""
    with time_machine.travel(time_machine.escape_hatch.time.time()):
        # The clock starts when it is first asked.
        time.time()
        yield


def _time_to_sign(remove_tzinfo: bool = True) -> dt.datetime:
    # Swift and Ceph refuse a signature of another time than theirs.
    present = time_machine.escape_hatch.datetime.datetime.now(dt.UTC)
    return present.replace(tzinfo=None) if remove_tzinfo else present
