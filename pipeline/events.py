"""What Snakemake tells of a run, a line of JSON for each event: a plugin of its logger, and what reads it again.

{"event": "plan", "steps": {"train": 2, ...}}                     how many steps of each rule are to be done
{"event": "step", "id": 3, "rule": ..., "message": ..., "log": ..., "command": ...}
{"event": "begun" | "done" | "failed", "id": 3, "at_s": ...}      seconds since 1970
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from logging import LogRecord
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase

PLUGIN = "reseed"
FILE = "RESEED_EVENTS"  # environment: the file that is written

Event = dict[str, Any]


class LogHandler(LogHandlerBase):
    """Appends what happens to a file; what cannot be written is not told, and the run goes on."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        """Append one event."""
        lines = [json.dumps(event) + "\n" for event in events_of(record)]
        if lines and FILE in os.environ:
            with suppress(OSError), Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
                file.writelines(lines)


def events_of(record: LogRecord) -> Iterator[Event]:
    """Yield what a message of Snakemake's logger says; nothing where it is only text."""
    said = vars(record)
    match str(said.get("event")):
        case "run_info":
            yield {
                "event": "plan",
                "steps": {rule: n for rule, n in said["stats"].items() if rule not in ("all", "total")},
            }
        case "job_info":
            yield {
                "event": "step",
                "id": said["jobid"],
                "rule": said["rule_name"],
                "message": said["rule_msg"] or said["rule_name"],
                "log": next(iter(said["log"]), None),
                "command": said["shellcmd"],
            }
        case "job_started":
            yield from ({"event": "begun", "id": each, "at_s": record.created} for each in said["jobs"])
        case "job_finished":
            yield {"event": "done", "id": said["job_id"], "at_s": record.created}
        case "job_error":
            yield {"event": "failed", "id": said["jobid"], "at_s": record.created}


class Reader:
    """Reads the events of a file as they come."""

    def __init__(self, path: Path) -> None:
        self._path, self._position = path, 0

    def new(self) -> Iterator[Event]:
        """Yield those that were written since the last call."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._position += len(line)
                with suppress(ValueError):
                    yield json.loads(line)
