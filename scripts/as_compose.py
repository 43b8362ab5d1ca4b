"""Run the app beside a PostgreSQL as docker-compose.yml and the Dockerfile say, without Docker, and use it.

`python scripts/as_compose.py BIN`: BIN is the folder of the `mfn` that the image would have. The environment, the
command, the database's name and user are read from the two files, so that what is checked is what stands there;
addresses and folders alone are others. It makes the first admin as the files say, logs in, and lists features out of a
database that had no table before. Needs PostgreSQL's server programs, and PyYAML.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 240.0
PASSWORD = "a password of the database"  # noqa: S105
ADMIN, ADMIN_PASSWORD = "ann", "a password of the admin"


def services(password: str) -> dict[str, Any]:
    """The services of docker-compose.yml, with the database's password put in."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{POSTGRES_PASSWORD:\?[^}]*\}", password, text))["services"]
    return found


def image() -> tuple[dict[str, str], list[str]]:
    """The environment and the command that the Dockerfile gives its last stage."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2].splitlines()
    environment = [shlex.split(line.removeprefix("ENV ")) for line in lines if line.startswith("ENV ")]
    (command,) = (line.removeprefix("CMD ") for line in lines if line.startswith("CMD "))
    return dict(pair.split("=", 1) for pairs in environment for pair in pairs), json.loads(command)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def postgres(folder: Path, user: str, database: str, password: str) -> Iterator[str]:
    """A server with one database, as the image of PostgreSQL makes it; gives its address, HOST:PORT."""
    initdb = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None) or shutil.which("initdb")
    if initdb is None:
        raise SystemExit("there is no PostgreSQL on this machine (Debian: apt-get install postgresql)")
    programs, port = Path(initdb).parent, free_port()
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.mkdir()
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    if as_postgres:
        for path in (folder, secret):
            shutil.chown(path, "postgres")

    def run(program: str, *arguments: str, **more: Any) -> None:
        command = [*as_postgres, str(programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=READY_WITHIN_S, cwd="/", **more)  # noqa: S603

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", user, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", f"--pwfile={secret}")
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    run("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        known = os.environ | {"PGPASSWORD": password}
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", user, database, env=known)
        yield f"127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def main() -> int:
    """Runs it; gives the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    programs = Path(sys.argv[1]).resolve()
    compose = services(urllib.parse.quote(PASSWORD))
    studio, database = compose["studio"], compose["db"]["environment"]
    environment, command = image()
    with tempfile.TemporaryDirectory(prefix="mfn-compose-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL runs as somebody else
        with postgres(folder / "db", database["POSTGRES_USER"], database["POSTGRES_DB"], PASSWORD) as address:
            environment |= studio["environment"]
            environment["MFN_DATABASE"] = environment["MFN_DATABASE"].replace("@db/", f"@{address}/")
            environment["MFN_HOME"] = str(folder / "home")
            use(programs, command, os.environ | environment)
    return 0


def use(programs: Path, command: list[str], environment: Mapping[str, str]) -> None:
    """Starts the app, and does what its first users do."""
    mfn, *arguments = command
    port = free_port()
    begun = time.monotonic()
    with subprocess.Popen([str(programs / mfn), *arguments, "--port", str(port)], env=environment) as server:  # noqa: S603
        try:
            ask = browser(f"http://127.0.0.1:{port}")
            until_ready(ask, server)
            print(f"the demo is indexed on PostgreSQL after {time.monotonic() - begun:.0f} s")
            create = [str(programs / mfn), "users", "create-admin", ADMIN]
            answer = f"{ADMIN_PASSWORD}\n"
            subprocess.run(create, env=environment, input=answer, text=True, check=True, timeout=60)  # noqa: S603
            if ask("GET", "/api/features?limit=1")[0] != 401:
                raise SystemExit("whoever has not logged in is let in")
            status, session = ask("POST", "/api/session", {"name": ADMIN, "password": ADMIN_PASSWORD})
            if status >= 300:
                raise SystemExit(f"the first admin cannot log in: {session}")
            status, page = ask("GET", "/api/features?limit=1")
            if status != 200 or not page["items"]:
                raise SystemExit(f"features cannot be listed: {page}")
            print(f"{ADMIN} has logged in and sees {page['total']:,} features")
        finally:
            server.terminate()


def until_ready(ask: Any, server: subprocess.Popen[bytes]) -> None:
    """Until the model is loaded and all features can be listed."""
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"the app ended with status {server.returncode}")
        try:
            health = ask("GET", "/api/health")[1]
        except OSError:
            health = {}
        if health.get("model_loaded") and health["index"]["state"] == "ready":
            return
        time.sleep(0.2)
    raise SystemExit(f"the app is not ready after {READY_WITHIN_S:.0f} s: {health}")


def browser(url: str) -> Any:
    """Sends requests as a page of the app does, cookies and all; gives the status and the JSON of each answer."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Origin": url}
        request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 (our own server)
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return ask


if __name__ == "__main__":
    sys.exit(main())
