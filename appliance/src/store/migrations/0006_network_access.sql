CREATE TABLE network_access (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    device TEXT,
    address TEXT NOT NULL,
    lesson TEXT,
    name TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    rule TEXT NOT NULL
) STRICT;

CREATE INDEX network_access_by_time ON network_access (at);
