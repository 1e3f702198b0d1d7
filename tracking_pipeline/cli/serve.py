"""The verb ``serve``: the HTTP API and the health page."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.output import CommandError, Rehearsal, err


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    rehearsal: Rehearsal = False,
) -> None:
    """Serve the HTTP API and the health page. Without ADMIN_API_TOKEN, only to this machine."""
    with loading():
        from tracking_pipeline.defs.instance.runs import open_instance
        from tracking_pipeline.settings import read_settings
        from tracking_pipeline.web import server
        from tracking_pipeline.web.run_desk import RunDesk
        from tracking_pipeline.wiring.health import health_config, refuse_unusable_channels
        from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    # Refused at the start, not by each request for the health page.
    health_config(settings)
    refuse_unusable_channels(settings)
    chosen = server.serving_token(settings, host)
    try:
        listener = server.listen(host, port)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from None
    # Asked to end, it tidies up as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            listener,
            open_installation(settings, rehearsal=rehearsal or None) as installation,
            open_instance(settings) as instance,
        ):
            err.print(f"Serving {installation.database.label}.")
            err.print(f"The API is at http://{host}:{port} (Ctrl-C ends it); its manual at /docs.")
            if chosen.is_generated:
                err.print("ADMIN_API_TOKEN is not set: for as long as this server runs, it is")
                err.print(chosen.token, markup=False, highlight=False, soft_wrap=True)
            # Without an address of its own the database is chosen by what is there, and an import
            # may change that; the runs stay with the one that is served.
            embedded = settings.tracking_database_url is None or rehearsal
            runs = RunDesk(
                instance, rehearsal=installation.database.rehearsal if embedded else None
            )
            if not server.serve(installation, runs, admin_token=chosen.token, listener=listener):
                raise CommandError("the API could not start: the lines above say why")
    except KeyboardInterrupt:
        pass
    err.print("Stopped.")
