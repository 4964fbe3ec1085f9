#!/usr/bin/env python3
"""A real learning record store for tests: Ralph with its file backend, corrected.

usage: lrs.py PORT FOLDER      serves http://127.0.0.1:PORT/xAPI with user "box", password "secret"

Ralph 5.1's file backend creates its file with each batch, so the second batch is answered with 500. Here it appends, and
finds statements by their id in memory instead of reading the whole file for each batch. All else is Ralph's own.
"""

import json
import os
import sys
from pathlib import Path

port, folder = int(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)

import bcrypt  # noqa: E402

users = [
    {
        "username": "box",
        # Few rounds: this password is printed above.
        "hash": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode(),
        "agent": {"account": {"name": "box", "homePage": "http://lrs.test"}},
        "scopes": ["all"],
    }
]
(folder / "auth.json").write_text(json.dumps(users))
os.environ.update(
    RALPH_APP_DIR=str(folder),
    RALPH_AUTH_FILE=str(folder / "auth.json"),
    RALPH_RUNSERVER_BACKEND="fs",
    RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH=str(folder),
    RALPH_SENTRY_DSN="",
)
os.environ.pop("RALPH_SENTRY_DSN")
os.chdir(folder)

from ralph.backends.lrs.fs import FSLRSBackend  # noqa: E402


def _known(self):
    if not hasattr(self, "_by_id"):
        path = folder / self.settings.DEFAULT_LRS_FILE
        lines = path.read_text().splitlines() if path.exists() else []
        self._by_id = {statement["id"]: statement for statement in map(json.loads, lines)}
    return self._by_id


def _write(self, data, target=None, chunk_size=None, ignore_errors=False, operation_type=None):
    statements, known = list(data), _known(self)
    with open(folder / self.settings.DEFAULT_LRS_FILE, "a") as file:
        for statement in statements:
            file.write(json.dumps(statement) + "\n")
        file.flush()
        os.fsync(file.fileno())
    known.update((statement["id"], statement) for statement in statements)
    return len(statements)


def _by_ids(self, ids, target=None):
    known = _known(self)
    return [known[one] for one in ids if one in known]


FSLRSBackend.write = _write
FSLRSBackend.query_statements_by_ids = _by_ids

import uvicorn  # noqa: E402
from ralph.api import app  # noqa: E402

uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
