"""Calls to S3, Google Cloud Storage, web servers and others by fsspec; what fails in passing is tried again.

Credentials and endpoints are those that fsspec and the libraries below it find: environment, profiles, ~/.netrc,
~/.config/fsspec. Processes that are forked open connections of their own.
"""

import errno
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

PACKAGES = {  # what to install to open URLs of each protocol
    **dict.fromkeys(("http", "https"), "reseed[http]"),
    **dict.fromkeys(("s3", "s3a"), "reseed[s3]"),
    **dict.fromkeys(("gs", "gcs"), "reseed[gcs]"),
    **dict.fromkeys(("abfs", "abfss", "az", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "ftp": "fsspec",
    "hdfs": "pyarrow",
    "hf": "huggingface_hub",
    "oci": "ocifs",
    "oss": "ossfs",
    "smb": "smbprotocol",
    "webdav": "webdav4",
    "webhdfs": "requests",
}
Answer = TypeVar("Answer")
REQUESTS = 16  # threads that ask at a time: most of the time they wait

_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_TIMEOUT_S = 60.0  # without a byte
_PASSING = {408, 425, 429}  # of the 4xx
_LASTING = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(ImportError, NotImplementedError, TypeError, KeyError, ValueError),
)
_OF_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_kept: dict[int, Any] = {}  # a forked process that collected those of its parent would make the parent's deaf
_silent: set[str] = set()  # hosts that did not answer when they were asked last: these are asked once


def ask(url: str, question: Callable[[Any], Answer]) -> Answer:
    """Ask the file system that a URL is of; where that fails in passing, again.

    Raises:
        FileNotFoundError, PermissionError, OSError: it failed for good; `strerror` says why.
    """
    host = url.split("/")[2]
    pauses = () if host in _silent else _PAUSES_S
    for pause_s in (*pauses, None):
        try:
            found = question(_filesystem(url))
        except Exception as error:
            if pause_s is None or _is_lasting(error):
                raise _plain(error, url, 1 + len(pauses)) from error
            time.sleep(pause_s * random.uniform(0.5, 1.0))
        else:
            _silent.discard(host)
            return found
    raise AssertionError


def fetch(url: str, start: int, end: int, size: int) -> bytes | None:
    """Return bytes of a file; None: its server sends no parts of files.

    Raises:
        OSError: as `ask`.
    """

    def question(system: Any) -> bytes | None:
        if url.startswith("http"):
            with system.open(url, cache_type="none", size=size) as file:
                file.seek(start)
                try:
                    found = file.read(end - start)
                except ValueError:  # what was sent begins elsewhere
                    return None
        else:
            found = system.cat_file(url, start=start, end=end)
        if len(found) != end - start:
            raise ConnectionError(f"{len(found)} of {end - start} bytes were sent")
        return bytes(found)

    return ask(url, question)


def ahead(calls: Iterable[Callable[[], Answer]], most: int) -> Iterator[Answer]:
    """Call functions in threads, some of them at a time, and yield what they return in their order."""
    coming: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(most) as pool:
        for call in calls:
            coming.append(pool.submit(call))
            if len(coming) == most:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def fetch_whole(url: str, size: int, path: Path) -> None:
    """Write a file to `path` in one piece.

    Raises:
        OSError: as `ask`.
    """

    def question(system: Any) -> None:
        system.get_file(url, str(path))
        if (found := path.stat().st_size) != size:
            raise ConnectionError(f"{found} of {size} bytes were sent")

    ask(url, question)


def put(path: Path, url: str) -> None:
    """Write a file of this machine to a URL: there it is whole or as it was.

    Raises:
        OSError: as `ask`.
    """
    ask(url, lambda system: system.put_file(str(path), url))


def put_bytes(data: bytes, url: str) -> None:
    """Write bytes to a URL, as `put` does a file."""
    ask(url, lambda system: system.pipe_file(url, data))


def remove(url: str) -> None:
    """Remove a file, if it is there.

    Raises:
        OSError: as `ask`.
    """
    with suppress(FileNotFoundError):
        ask(url, lambda system: system.rm_file(url))


def names_in(url: str) -> list[str]:
    """Return the names of the files and folders in a folder; none where it does not exist.

    Raises:
        OSError: as `ask`.
    """
    try:
        found = ask(url, lambda system: system.ls(url, detail=False))
    except FileNotFoundError:
        return []
    return sorted({str(name).rstrip("/").rpartition("/")[2] for name in found})


def _filesystem(url: str) -> Any:
    import fsspec

    protocol = url.partition("://")[0]
    kind = fsspec.get_filesystem_class(protocol)
    found = fsspec.filesystem(protocol, **kind._get_kwargs_from_urls(url), **_options(protocol))
    if hasattr(found, "retries"):
        found.retries = 1  # here it is counted
    _kept[id(found)] = found, found.loop if found.async_impl else None
    return found


def _options(protocol: str) -> dict[str, Any]:
    from fsspec.config import conf

    given = {**conf.get(protocol, {}), "use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        once = {"connect_timeout": 10, "read_timeout": _TIMEOUT_S, "retries": {"total_max_attempts": 1}}
        return {**given, "config_kwargs": {**once, **given.get("config_kwargs", {})}}
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        # Proxies and ~/.netrc count as they do for curl; nothing is packed on the way, for ranges count packed bytes.
        client = {"trust_env": True, "timeout": ClientTimeout(total=None, sock_connect=10, sock_read=_TIMEOUT_S)}
        headers = {"Accept-Encoding": "identity", **given.get("headers", {})}
        return {**given, "client_kwargs": {**client, **given.get("client_kwargs", {})}, "headers": headers}
    return given


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """Return what a server answered, as HTTP counts it."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore
            return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
        is_google = type(each).__name__ == "HttpError"
        found = getattr(each, "code" if is_google else "status", getattr(response, "status_code", None))
        if isinstance(found, int):
            return found
    return None


def _is_lasting(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status < 500 and status not in _PASSING and not isinstance(error, TimeoutError)
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:  # fsspec's word for any failure of HTTP
        return False
    return isinstance(error, _LASTING) or type(error).__name__ in _OF_CREDENTIALS


def _plain(error: Exception, url: str, attempts: int) -> OSError:
    """Return what went wrong as an error of a file, without addresses, which may hold secrets."""
    status, is_lasting = _status(error), _is_lasting(error)
    said = f" (HTTP {status})" if status is not None else ""
    if status in (401, 403) or isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, f"access is denied{said}; docs/datasets.md says whose credentials count")
    if status in (404, 410) or (isinstance(error, FileNotFoundError) and is_lasting):
        return FileNotFoundError(errno.ENOENT, f"does not exist{said}")
    if isinstance(error, ImportError):
        protocol = url.partition("://")[0]
        return OSError(errno.ENOPKG, f"needs a package for {protocol}://: pip install '{PACKAGES[protocol]}'")
    if status is None and not is_lasting:
        _silent.add(url.split("/")[2])
    *_, first = _causes(error)
    what = f"HTTP {status}" if status is not None else " ".join(f"{type(first).__name__}: {first}".split())
    return OSError(errno.EIO, what if is_lasting else f"{what}, {attempts} times")
