-- The database of the box as the migrations leave it. A test compares both, so this page is always true.
--
-- What is kept of people, and why (R-DATA-4): a student's number, class, seat and name, which device is lent, which
-- consents were signed; a teacher's account and name. No birthday, no national id, no address, no photo, no e-mail.
-- Each such field says its reason below.
--
-- Times are milliseconds since 1970-01-01T00:00:00Z. Secrets are kept as SHA-256 hashes of 256-bit random tokens,
-- short codes as keyed hashes, passwords as argon2id.

-- The room as the core last described it: one row, read when the hub starts, so that a restart in the middle of a
-- lesson goes on where it was.
CREATE TABLE room_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- Number of the newest change that the pages may have seen; it must never go back.
    seq INTEGER NOT NULL,
    -- The core's own form (JSON); nothing here looks inside.
    snapshot TEXT NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT;

-- A class. Ids are not used again (AUTOINCREMENT), so old evidence never points to another class.
CREATE TABLE class (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- As the school writes it, e.g. 五年三班.
    name TEXT NOT NULL
) STRICT;

-- Everyone in the register.
CREATE TABLE student (
    -- Stays the same whatever happens to class, seat and name: consents and loans belong to it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL for who has left the class while papers or a device are still here.
    class_id INTEGER REFERENCES class (id),
    -- The student's number in the class (座號): what the student picks when joining.
    seat INTEGER,
    -- Reason: the teacher calls on people by name, and the panel says whose picture it is (R-CAST-3).
    name TEXT NOT NULL,
    -- 學號; NULL for a list that a teacher pasted. Reason: devices are labelled with it (R-POL-1), and the same student
    -- is found again next year. Never a national id.
    number TEXT UNIQUE,
    UNIQUE (class_id, seat)
) STRICT;

-- A lesson that was held. Stays when its class is deleted, because it is evidence (R-CAST-4).
CREATE TABLE lesson (
    -- UUID, made when the lesson starts.
    id TEXT PRIMARY KEY,
    class_id INTEGER REFERENCES class (id) ON DELETE SET NULL,
    -- The class's name on that day.
    class_name TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    -- NULL while it runs.
    ended_at INTEGER,
    -- Account of the teacher. Reason: supervision is the teacher's (R-POL-7), and so is the evidence.
    started_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX lesson_by_class ON lesson (class_id, started_at);

-- Who was on the panel when (R-CAST-4).
CREATE TABLE showing (
    id INTEGER PRIMARY KEY,
    lesson_id TEXT NOT NULL REFERENCES lesson (id) ON DELETE CASCADE,
    -- Media source, e.g. seat-07 or teacher.
    source TEXT NOT NULL,
    -- The name that stood on the tile. Reason: the school shows per class that the panel was used by its students.
    label TEXT NOT NULL,
    -- The student's number; NULL when the source is no student's.
    seat INTEGER,
    shown_from INTEGER NOT NULL,
    -- NULL while it is on the panel.
    shown_to INTEGER
) STRICT;

CREATE INDEX showing_by_lesson ON showing (lesson_id, shown_from);

-- The few that are on the panel now.
CREATE INDEX showing_open ON showing (source) WHERE shown_to IS NULL;

-- Accounts of teachers.
CREATE TABLE staff (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What is typed at sign-in; upper and lower case are the same. Reason: identification (R-DATA-6).
    account TEXT NOT NULL UNIQUE COLLATE NOCASE,
    -- Shown to the class and to a second teacher. Reason: everyone sees who holds the room (R-CAST-3).
    name TEXT NOT NULL,
    -- argon2id in PHC form, with its salt and parameters.
    password TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- 1: holds lessons.
    teacher INTEGER NOT NULL DEFAULT 1,
    -- 1: keeps the register (R-DATA-6: nobody has more rights than the work needs).
    office INTEGER NOT NULL DEFAULT 1
) STRICT;

-- Signed-in browsers of teachers.
CREATE TABLE staff_session (
    -- SHA-256 of the cookie: who reads the database cannot use it.
    token_hash BLOB PRIMARY KEY,
    staff_id INTEGER NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    -- Ends the session when it is too long ago (idle logout, R-DATA-6). Written at most once a minute.
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX staff_session_by_staff ON staff_session (staff_id);

-- Codes that work once: the first teacher's sign-in, the invitation of a further teacher.
CREATE TABLE one_time_code (
    -- HMAC-SHA256 under the key of the box: a code is short, a plain hash could be reversed.
    hash BLOB PRIMARY KEY,
    -- What it is good for; a code for one purpose is no good for another.
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- NULL while unused.
    used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Failed sign-ins that still count (5 failures, then 15 minutes: R-DATA-6), so that a restart does not clear them.
CREATE TABLE sign_in_failure (
    -- What was typed as account; need not exist.
    account TEXT PRIMARY KEY,
    -- The core's own form (JSON).
    tally TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Panels that a teacher has paired with the room.
CREATE TABLE panel (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The name it gave itself, e.g. the make of the panel.
    name TEXT NOT NULL,
    -- SHA-256 of its bearer token.
    token_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- External programs that may publish (OBS, a phone app). Their media source is ext-ID; ids are not used again.
CREATE TABLE source (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    label TEXT NOT NULL,
    -- SHA-256 of its WHIP key.
    key_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- What staff did: identity, place, time, action (R-DATA-6). Each row seals the one before it, so that a changed or
-- missing row in the middle is found.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    -- Account of the teacher, or what was typed at a failed sign-in. Reason: accountability (R-DATA-6).
    who TEXT NOT NULL,
    -- Network address the request came from, or "console".
    place TEXT NOT NULL,
    action TEXT NOT NULL,
    -- JSON.
    detail TEXT NOT NULL,
    -- `this` of the row before; 32 zero bytes in the first.
    prev BLOB NOT NULL,
    -- SHA-256 over prev and all fields of this row.
    this BLOB NOT NULL
) STRICT;

-- What happened and counts as use (R-USE-1 … R-USE-6): one row for each event of `appliance_core::usage::Event`, kept
-- before its maker is told so. Read by the usage figures; never changed.
CREATE TABLE usage_event (
    -- The order in which they were kept. Numbers are not used again, so a delivery that was noted never means another.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- UUIDv5 of the event's identity under a name space that only this school has: who delivers twice changes nothing.
    id TEXT NOT NULL UNIQUE,
    -- When it happened on the clock of who saw it: the beginning of what takes time, of `left` and `lesson-ended` the end.
    at INTEGER NOT NULL,
    -- When it was kept, on the box's clock.
    recorded_at INTEGER NOT NULL,
    -- Word of `Kind`, e.g. joined, used, active.
    kind TEXT NOT NULL,
    -- 學號. Reason: the usage rates are counted per device and student (R-USE-1); leaves the school as a pseudonym only.
    student TEXT,
    -- Opaque code of the device. Reason: 載具使用率 counts devices (R-USE-1, R-USE-2).
    device TEXT,
    -- Id of the class; it may have been deleted since.
    class INTEGER,
    -- The student's number in the class. Reason: says who it was while the register has no number for the seat.
    seat INTEGER,
    -- Id of the teacher's account. Reason: days on which a teacher used devices (R-USE-4).
    staff INTEGER,
    -- school or home. Reason: use after school (R-USE-2).
    place TEXT NOT NULL,
    -- UUID of the lesson; NULL outside of lessons.
    lesson TEXT,
    -- Id in the list of platforms. Reason: hours by platform (R-USE-5).
    platform TEXT,
    -- How long, where that is told.
    seconds INTEGER,
    -- The library's item, the rule that refused, what was tampered with; never an address.
    object TEXT,
    -- Category of what was refused.
    category TEXT,
    -- So often in that minute, where one record tells of several; NULL where it tells of one.
    times INTEGER
) STRICT;

CREATE INDEX usage_event_by_time ON usage_event (at);

-- What people look at (R-POL-13, -19) is a handful among all.
CREATE INDEX usage_event_alarms ON usage_event (recorded_at) WHERE kind IN ('reported-site', 'tampered');

-- Who has taken note of what a student or a device told (R-POL-13, -19).
CREATE TABLE alarm_seen (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    at INTEGER NOT NULL,
    -- Name of who. Reason: accountability (R-DATA-6).
    by TEXT NOT NULL
) STRICT;

-- What is still to be delivered upstream (R-USE-6). A row goes when the upstream has confirmed it, or to outbox_refused.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    -- The xAPI statement, byte for byte as it was first sent, so that a second try is the same; NULL before the first.
    body BLOB
) STRICT;

-- Statements that the upstream refuses for good. Set aside so that they do not hold up the others; none is ever lost
-- without its row here.
CREATE TABLE outbox_refused (
    seq INTEGER PRIMARY KEY REFERENCES usage_event (seq),
    at INTEGER NOT NULL,
    -- HTTP status.
    status INTEGER NOT NULL,
    -- What the upstream said, cut to a few lines.
    reason TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Under which key of the school the records are: a fingerprint, never the key (R-DATA-2). With another key everything that
-- is upstream would count a second time, so the box delivers nothing under one that it does not know.
CREATE TABLE school_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    fingerprint BLOB NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT;

-- Batches that the upstream has confirmed: what was delivered when (R-USE-6, accountability R-DATA-6).
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    statements INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
) STRICT;

-- Devices of the school, and machines of its rooms (R-POL-1, -2).
CREATE TABLE device (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Opaque code on the label: says nothing of the borrower. Reason: who finds a device can name it (R-POL-1).
    code TEXT NOT NULL UNIQUE,
    -- ipad, chromebook, windows, android, other.
    kind TEXT NOT NULL,
    -- Address of its Wi-Fi card. Reason: only registered devices get on the network (R-POL-2).
    mac TEXT UNIQUE,
    -- The school's property number. Reason: the label of the school's own inventory stays the same.
    tag TEXT UNIQUE,
    -- 1: of the spare pool. Reason: not counted in the use figures (R-USE-1).
    spare INTEGER NOT NULL,
    -- ready, repair, lost, retired.
    state TEXT NOT NULL,
    -- Since when it is in that state. Reason: devices in repair are not counted for that time (R-USE-1).
    state_since INTEGER NOT NULL
) STRICT;

-- Who has had which device (R-POL-24).
CREATE TABLE loan (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id INTEGER NOT NULL REFERENCES device (id),
    student_id INTEGER NOT NULL REFERENCES student (id),
    lent_at INTEGER NOT NULL,
    -- Name of who handed it out. Reason: accountability (R-DATA-6).
    lent_by TEXT NOT NULL,
    -- Last moment of the loan: the plan's end or graduation.
    due INTEGER NOT NULL,
    -- NULL unless consent was withdrawn before the device came back (R-POL-23).
    stopped_at INTEGER,
    -- NULL while it is out.
    returned_at INTEGER,
    returned_by TEXT,
    -- good, repair, lost; NULL while it is out.
    condition TEXT
) STRICT;

-- One device, one student.
CREATE UNIQUE INDEX loan_open_device ON loan (device_id) WHERE returned_at IS NULL;

CREATE UNIQUE INDEX loan_open_student ON loan (student_id) WHERE returned_at IS NULL;

-- The versions of the text that student and guardian sign (R-POL-23).
CREATE TABLE consent_text (
    version INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- 1: signatures under earlier versions no longer count.
    renew INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    published_by TEXT NOT NULL
) STRICT;

-- Signatures. The guardian's name is on the paper or known to who holds the link; the box does not need it (R-DATA-4).
CREATE TABLE signature (
    id INTEGER PRIMARY KEY,
    student_id INTEGER NOT NULL REFERENCES student (id),
    -- student, guardian. Reason: both must sign.
    party TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES consent_text (version),
    -- paper, page.
    way TEXT NOT NULL,
    signed_at INTEGER NOT NULL,
    -- Name of who recorded it. Reason: accountability (R-DATA-6).
    recorded_by TEXT NOT NULL,
    -- NULL while it stands.
    withdrawn_at INTEGER,
    withdrawn_by TEXT
) STRICT;

CREATE INDEX signature_by_student ON signature (student_id);

-- Personal links with which a student or guardian signs on a page.
CREATE TABLE consent_link (
    -- SHA-256 of the token in the link.
    token_hash BLOB PRIMARY KEY,
    student_id INTEGER NOT NULL REFERENCES student (id) ON DELETE CASCADE,
    party TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    -- NULL while unused; a link signs once.
    used_at INTEGER
) STRICT, WITHOUT ROWID;
-- What each device was for, and since when: spares and repairs do not count for that time (R-USE-1).
CREATE TABLE device_duty (
    id INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES device (id),
    since INTEGER NOT NULL,
    -- As in `device`.
    spare INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE INDEX device_duty_by_device ON device_duty (device_id, since);

-- Whole days of which the box knows all about a device, because its agent has delivered them. What was not seen is
-- unknown in the figures, never zero (R-USE-1).
CREATE TABLE device_seen (
    -- Code of the device, as in usage_event.
    device TEXT NOT NULL,
    -- YYYY-MM-DD on the school's clock, both included.
    from_day TEXT NOT NULL,
    to_day TEXT NOT NULL,
    PRIMARY KEY (device, from_day)
) STRICT, WITHOUT ROWID;

-- Days on which the box ran: a school day without it is unknown for the teachers' days (R-USE-4).
CREATE TABLE box_day (
    -- YYYY-MM-DD on the school's clock.
    day TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What the office has typed for the reports (R-USE-7): calendar and timetable, the columns of 附件6 that the box can't know.
CREATE TABLE report_setting (
    name TEXT PRIMARY KEY,
    -- JSON.
    value TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    -- Name of who changed it. Reason: accountability (R-DATA-6).
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

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

-- What devices asked for at school, as far as the school keeps it (R-POL-6, R-POL-20): refusals, and the open web in
-- lessons. Kept at least six months, then erased. Nothing of this kind is kept of devices at home. Each look is audited.
CREATE TABLE network_access (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of the lines
    at INTEGER NOT NULL,                    -- when, for the time of the review and for erasing
    device TEXT,                            -- opaque code of the register (R-POL-1): whose device it was; no name
    address TEXT NOT NULL,                  -- who asked when the device is not known
    lesson TEXT,                            -- in which lesson: a teacher reviews the own lessons
    name TEXT NOT NULL,                     -- the host's name; never a whole address, the resolver does not know it
    allowed INTEGER NOT NULL,               -- 1 allowed, 0 refused
    rule TEXT NOT NULL                      -- the rule that decided, e.g. R-POL-3
) STRICT;

CREATE INDEX network_access_by_time ON network_access (at);

-- Take-home devices whose agent is enrolled.
CREATE TABLE agent (
    -- Opaque code of the register. Reason: the rules that apply belong to the device (R-POL-3, -18).
    device TEXT PRIMARY KEY,
    -- Name of this enrolment. Reason: records of the agent are told apart from those of an earlier one (invariant 4).
    enrolment TEXT NOT NULL UNIQUE,
    -- SHA-256 of the device's certificate. Reason: who shows it is this device; removed, it is nobody.
    certificate BLOB NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL,
    -- NULL until it was here. Reason: a device that is never seen is unknown in the figures, not unused (R-USE-2).
    seen_at INTEGER,
    -- wifi, wired, mobile; NULL when not told. Reason: at school only the school's Wi-Fi (R-POL-14).
    link TEXT,
    -- Version of its program. Reason: who looks after the devices sees which are behind (R-POL-26).
    version TEXT,
    -- The orders that it was given: version, time, SHA-256. Reason: a device takes only newer ones.
    orders_version INTEGER NOT NULL,
    orders_at INTEGER NOT NULL,
    orders_hash BLOB NOT NULL,
    -- Records that the device has lost and told of, in all, and when it told last. Reason: what was lost is unknown, and
    -- people may ask why (R-USE-5, R-POL-13).
    dropped INTEGER NOT NULL DEFAULT 0,
    dropped_at INTEGER
) STRICT, WITHOUT ROWID;

-- One-time codes to enrol a device.
CREATE TABLE agent_code (
    -- Keyed hash of the code.
    hash BLOB PRIMARY KEY,
    device TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The hours that a guardian allows at home (R-POL-12).
CREATE TABLE guardian_hours (
    device TEXT PRIMARY KEY,
    -- JSON: days, from, to.
    hours TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    -- Name of who recorded the guardian's word. Reason: accountability (R-DATA-6).
    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
