"""May this bot trade right now?

The agent in a bot's pod keeps the answer in a page of memory. `Leadership.check()` reads it without a lock and without
asking anybody, so that a bot can ask right before every order:

    leadership = Leadership()
    check = leadership.check()
    if check.may_trade:
        ...  # place the order, with check.fencing_token in its id

The answer is judged by the reader's own clocks, so it turns to "no" in time also when the agent is stopped or hangs. It
says nothing about a process that is frozen after the check and sends when it thaws: for that there are the order gate
and the fencing token in order ids.

Standard library only; copy this file into your bot. Layout and protocol: docs/reference/leadership-page.md.
"""

import mmap
import os
import struct
from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, clock_gettime_ns
from typing import NamedTuple, Optional

PATH = "/run/tradingbot/leadership"

_SIZE = 4096
_VERSION = 1
_HEADER = struct.Struct("<8sQ")
# sequence, role, epoch, fencing token, deadline on CLOCK_BOOTTIME and on CLOCK_MONOTONIC_RAW
_STATE = struct.Struct("<6Q")
_BEGIN, _END = 64, 64 + _STATE.size
_BOOT = slice(128, 256)
_ROLES = ("standby", "candidate", "active", "demoting", "paused")
_ACTIVE = 2
_NEVER = 2**64 - 1
# Many times what a write takes. When they are not enough the writer is stopped in the middle of one.
_ATTEMPTS = 100


class Check(NamedTuple):
    """The answer, of one instant."""

    may_trade: bool
    """Whether an order may be sent now."""
    role: str
    """standby, candidate, active, demoting or paused; unknown where the page could not be read whole. active without may_trade:
    the time has run out and the agent has not said so yet."""
    epoch: int
    """The epoch that the pod holds, or 0."""
    fencing_token: int
    """What belongs into order ids, or 0."""
    remaining_ns: Optional[int]
    """For how long may_trade holds if nothing more is heard; 0 where it does not, None where no deadline is set
    (onApiServerLoss: Continue)."""


_UNREADABLE = Check(False, "unknown", 0, 0, 0)


class Leadership:
    """The page, mapped into this process. Open it once and keep it."""

    def __init__(self, path: str = PATH) -> None:
        """Raises OSError where there is no page, as outside of a bot's container, and ValueError where it is not one
        that this version can read."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            length = os.fstat(descriptor).st_size
            if length < _SIZE:
                raise ValueError(f"{path} is no leadership page: it has {length} bytes instead of {_SIZE}")
            self._page = mmap.mmap(descriptor, _SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(descriptor)
        magic, version = _HEADER.unpack_from(self._page)
        if magic != b"TBLEADER":
            raise ValueError(f"{path} is no leadership page: it does not begin with TBLEADER")
        if version != _VERSION:
            raise ValueError(f"{path} is of another version of the agent: layout {version} instead of {_VERSION}")

    def check(self) -> Check:
        """Whether an order may be sent now."""
        page = self._page
        for _ in range(_ATTEMPTS):
            # Python cannot order its reads as the protocol asks; two equal readings do instead.
            state = page[_BEGIN:_END]
            if state == page[_BEGIN:_END] and not state[0] & 1:
                break
        else:
            return _UNREADABLE
        _, number, epoch, token, boottime, raw = _STATE.unpack(state)
        role = _ROLES[number] if number < len(_ROLES) else "unknown"
        if number != _ACTIVE:
            return Check(False, role, epoch, token, 0)
        if boottime == raw == _NEVER:
            return Check(True, role, epoch, token, None)
        left = min(boottime - clock_gettime_ns(CLOCK_BOOTTIME), raw - clock_gettime_ns(CLOCK_MONOTONIC_RAW))
        return Check(left > 0, role, epoch, token, max(left, 0))

    def boot(self) -> str:
        """The start of the agent that writes this page, `<pod uid>/<random>`."""
        return self._page[_BOOT].rstrip(b"\0").decode(errors="replace")

    def close(self) -> None:
        """Gives the mapping back."""
        self._page.close()
