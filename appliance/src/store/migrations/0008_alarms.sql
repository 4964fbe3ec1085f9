ALTER TABLE usage_event ADD COLUMN times INTEGER;

CREATE INDEX usage_event_alarms ON usage_event (recorded_at) WHERE kind IN ('reported-site', 'tampered');

CREATE TABLE alarm_seen (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    at INTEGER NOT NULL,
    by TEXT NOT NULL
) STRICT;

ALTER TABLE agent ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN dropped_at INTEGER;
