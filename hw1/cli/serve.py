"""The command that serves the dashboard."""

import os
import sys
from typing import Annotated

import typer

from hw1.cli import options
from hw1.cli.app import app, echo, example, quiet_optuna
from hw1.places import storage_url


@app.command(**example("dashboard --port 8081"))
def dashboard(
    storage: options.Storage = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Address to listen on; for any but this machine set HW1_PASSWORD first.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free port.")
    ] = 8080,
    write: Annotated[
        bool, typer.Option("--write", help="Allow writing notes and deleting studies.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another host name to accept."),
    ] = None,
) -> None:
    """Watch the studies in optuna-dashboard.

    It can be reached from this machine alone, and changes nothing. From another machine, open an
    ssh tunnel (ssh -L 8080:localhost:8080 MACHINE) and browse to http://localhost:8080. Or listen
    on another --host and set a password in HW1_PASSWORD, which is sent unencrypted without TLS.
    """
    from hw1.dashboard.server import is_loopback, listen
    from hw1.optuna_store.storage import Storage, artifact_folder

    quiet_optuna()
    url = storage_url(storage)
    opened = Storage(url, create=False)
    password = os.environ.get("HW1_PASSWORD") or None
    if password is None and sys.stdin.isatty() and not is_loopback(host):
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with listen(
        opened,
        artifact_folder(url),
        host=host,
        port=port,
        write=write,
        password=password,
        allowed_hosts=allow_host or (),
    ) as server:
        echo(f"Dashboard of {opened.shown}: {server.url}")
        changes = "it can change and delete studies"
        echo(f"  {changes}" if write else f"  read-only; with --write {changes}")
        if password:
            echo("  any user name and the password; without TLS they travel in clear")
        echo("  Ctrl-C ends it")
        server.run()
    echo("Stopped.")
