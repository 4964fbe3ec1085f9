CREATE TABLE room_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    snapshot TEXT NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT;

CREATE TABLE class (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE student (
    class_id INTEGER NOT NULL REFERENCES class (id) ON DELETE CASCADE,
    seat INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (class_id, seat)
) STRICT, WITHOUT ROWID;

CREATE TABLE lesson (
    id TEXT PRIMARY KEY,
    class_id INTEGER REFERENCES class (id) ON DELETE SET NULL,
    class_name TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    started_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX lesson_by_class ON lesson (class_id, started_at);

CREATE TABLE showing (
    id INTEGER PRIMARY KEY,
    lesson_id TEXT NOT NULL REFERENCES lesson (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    label TEXT NOT NULL,
    seat INTEGER,
    shown_from INTEGER NOT NULL,
    shown_to INTEGER
) STRICT;

CREATE INDEX showing_by_lesson ON showing (lesson_id, shown_from);

CREATE INDEX showing_open ON showing (source) WHERE shown_to IS NULL;

CREATE TABLE staff (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name TEXT NOT NULL,
    password TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE staff_session (
    token_hash BLOB PRIMARY KEY,
    staff_id INTEGER NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX staff_session_by_staff ON staff_session (staff_id);

CREATE TABLE one_time_code (
    hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sign_in_failure (
    account TEXT PRIMARY KEY,
    tally TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE panel (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    label TEXT NOT NULL,
    key_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    place TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev BLOB NOT NULL,
    this BLOB NOT NULL
) STRICT;
