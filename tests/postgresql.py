"""A real PostgreSQL for the time of a test: Debian's, in a folder of its own, as a user who is not root."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path("/usr/lib/postgresql")
DEBIAN_USER: Final = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


@contextmanager
def running_postgresql() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database on loopback; the server and its files go at the end."""
    programs = sorted(PROGRAMS.glob("*/bin"))[-1]
    folder = Path(tempfile.mkdtemp(prefix="facet-postgresql-"))
    user = DEBIAN_USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    shutil.chown(folder, user)
    as_user = {"user": user} if os.getuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run([programs / program, *arguments], check=True, cwd=folder, **as_user)

    data, options = str(folder / "data"), f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run("initdb", "--auth=trust", "--username=facet", "--no-sync", "--pgdata", data)
    try:
        run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", str(folder / "log"), "--options", options)
        run("createdb", "--host=127.0.0.1", f"--port={port}", "--username=facet", "facet")
        yield f"postgresql+psycopg://facet@127.0.0.1:{port}/facet"
    finally:
        run("pg_ctl", "stop", "--mode=immediate", "--pgdata", data)
        shutil.rmtree(folder)
