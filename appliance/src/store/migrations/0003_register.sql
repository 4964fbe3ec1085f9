-- The register: students with a number of their own, devices, loans, consents; the office beside the teacher.

ALTER TABLE student RENAME TO student_before;

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

INSERT INTO student (class_id, seat, name) SELECT class_id, seat, name FROM student_before ORDER BY class_id, seat;

DROP TABLE student_before;

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

-- Accounts that were there before the office had a role of its own keep every right.
ALTER TABLE staff ADD COLUMN teacher INTEGER NOT NULL DEFAULT 1;

ALTER TABLE staff ADD COLUMN office INTEGER NOT NULL DEFAULT 1;
