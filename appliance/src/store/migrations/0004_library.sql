-- What is in the library (R-CONT-1, -4). The bytes lie in the library's folder; with this list alone, as a backup brings
-- it back, what came from an address is fetched again.
CREATE TABLE library_item (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Name of its folder and in its address: random, 16 hex digits.
    key TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    -- What pages draw and how they open it: video, audio, image, pdf, hls, dash, file.
    kind TEXT NOT NULL,
    -- Name of the part that is opened first.
    main TEXT NOT NULL,
    -- Where it comes from; NULL for an upload.
    origin TEXT,
    -- 1: never makes room for other content.
    pinned INTEGER NOT NULL,
    -- 1: fetched at night only, unless someone opens it.
    tonight INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- When it was last opened: the longest unused makes room first.
    used_at INTEGER NOT NULL,
    -- Name of the teacher. Reason: who puts content before a class answers for it (R-DATA-6).
    created_by TEXT NOT NULL
) STRICT;
