CREATE TABLE usage_event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    student TEXT,
    device TEXT,
    class INTEGER,
    seat INTEGER,
    staff INTEGER,
    place TEXT NOT NULL,
    lesson TEXT,
    platform TEXT,
    seconds INTEGER,
    object TEXT,
    category TEXT
) STRICT;

CREATE INDEX usage_event_by_time ON usage_event (at);

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    body BLOB
) STRICT;

CREATE TABLE outbox_refused (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    statements INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
) STRICT;
