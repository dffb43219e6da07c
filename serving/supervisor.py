"""The process above honcho: it runs ``docker/Procfile`` and, whatever happens, leaves no process behind.

It is the Linux subreaper of its descendants: Airflow gives each task a process group of its own, and what
loses its parent becomes a child of the supervisor instead of escaping. It ends when its own parent does,
even a killed one.

    python -m serving.supervisor PARENT_PID PROCESS...
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import psutil

REPOSITORY: Final = Path(__file__).resolve().parents[1]
HONCHO: Final = ("-m", "honcho", "-d", "docker", "-f", "Procfile", "-e", "airflow.env", "start")
GRACE_SECONDS: Final = 10.0
"""honcho itself kills what is left 5 s after the first process ended."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(parent_pid: int, processes: list[str]) -> int:
    """Run ``processes`` until one ends or a signal comes; 0 after a signal, else honcho's code."""
    _tie_to(parent_pid)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    try:
        honcho = subprocess.Popen(
            [sys.executable, *HONCHO, *processes], cwd=REPOSITORY, start_new_session=True
        )
        return honcho.wait()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_descendants()


def _tie_to(parent_pid: int) -> None:
    """Become the subreaper, and have the kernel send SIGTERM when the parent dies. Linux only."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we asked for the signal
        sys.exit(1)


def _exit(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _end_descendants() -> None:
    """SIGTERM to direct children, time to stop in order, then SIGKILL until nobody is left."""
    me = psutil.Process()
    for child in me.children():
        child.terminate()
    psutil.wait_procs(me.children(), timeout=GRACE_SECONDS)
    while left := me.children(recursive=True):
        for process in left:
            _kill(process)
        psutil.wait_procs(left, timeout=1.0)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
