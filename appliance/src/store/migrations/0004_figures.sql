-- What the usage figures need beside events and register, and what the office types for the reports.

CREATE TABLE device_duty (
    id INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES device (id),
    since INTEGER NOT NULL,
    spare INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE INDEX device_duty_by_device ON device_duty (device_id, since);

-- What is known of the time before this table.
INSERT INTO device_duty (device_id, since, spare, state) SELECT id, state_since, spare, state FROM device ORDER BY id;

CREATE TABLE device_seen (
    device TEXT NOT NULL,
    from_day TEXT NOT NULL,
    to_day TEXT NOT NULL,
    PRIMARY KEY (device, from_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE box_day (
    day TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE report_setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
