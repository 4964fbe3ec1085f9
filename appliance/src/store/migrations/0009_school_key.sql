CREATE TABLE school_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    fingerprint BLOB NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT;
