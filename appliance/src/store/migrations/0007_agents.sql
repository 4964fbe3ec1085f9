
CREATE TABLE agent (

    device TEXT PRIMARY KEY,

    enrolment TEXT NOT NULL UNIQUE,

    certificate BLOB NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL,

    seen_at INTEGER,

    link TEXT,

    version TEXT,

    orders_version INTEGER NOT NULL,
    orders_at INTEGER NOT NULL,
    orders_hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_code (

    hash BLOB PRIMARY KEY,
    device TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE guardian_hours (
    device TEXT PRIMARY KEY,

    hours TEXT NOT NULL,
    set_at INTEGER NOT NULL,

    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
