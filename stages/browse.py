"""`browse`: look through a run in a browser, on a local port, until it is interrupted."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from reseed.stages.auditing.browsing.server import Server
from reseed.stages.auditing.browsing.stores import RunStores
from reseed.stages.common.terminal import log
from reseed.store import ConfigError
from reseed.store.errors import ended_by
from reseed.store.url import Url


def browse(
    *,
    run: Path,
    recordings: Sequence[Path | Url] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve a run until the process is interrupted. Nothing can be changed, and nothing but the run's stores is shown.

    Args:
        run: the folder of a run, or a store.
        recordings: folders in which manifests and recordings may be opened, beside that of the store's run.
        host: an address of this machine; other machines reach only what is not loopback.
        port: 0: any that is free.
        ready: called with the address once the server listens.

    Raises:
        ConfigError: no store there, or the port is taken.
    """
    stores = RunStores(run, recordings)
    try:
        server = Server((host, port), stores)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened on ({error.strerror}); give another --port") from error
    with server:
        ready(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt as error:
            status, ended = ended_by(error)
            log(f"reseed: {ended}; nothing is served any more")
            os._exit(status)  # at once: threads that render would keep the interpreter, or break its end
