/**
 * The contract of `appliance/protocol/src/*.rs`, with the same names. A change there is a change here.
 * All times are milliseconds since 1970-01-01T00:00:00Z on the hub's clock.
 */

export type Millis = number;
/** 1 to 99. */
export type Seat = number;
/** `seat-07`, `teacher`, `ext-3`. */
export type SourceId = string;

// command.rs

export type TeacherCommand =
  | { do: 'start-lesson'; class: number }
  | { do: 'end-lesson' }
  | { do: 'new-code' }
  | { do: 'lock'; on: boolean }
  | { do: 'attention'; on: boolean }
  | { do: 'open-sharing'; minutes: number }
  | { do: 'layout'; tiles: Layout }
  | { do: 'show'; source: SourceId; tile?: number }
  | { do: 'remove'; source: SourceId }
  | { do: 'swap'; a: number; b: number }
  | { do: 'freeze'; source: SourceId; on: boolean }
  | { do: 'approve'; seat: Seat }
  | { do: 'decline'; seat: Seat }
  | { do: 'free-seat'; seat: Seat }
  | { do: 'permit'; what: Permission; minutes?: number }
  | { do: 'forbid'; what: Permission }
  | { do: 'invite-home'; seat: Seat }
  | { do: 'revoke-home'; seat: Seat }
  | { do: 'microphone'; seat: Seat; on: boolean }
  | { do: 'lower-hand'; seat: Seat }
  | { do: 'take-over' };

export type StudentCommand = { do: 'ask' } | { do: 'stop' } | { do: 'leave' };

export type HomeCommand = { do: 'raise-hand'; up: boolean } | { do: 'leave' };
// policy/

export type Permission = { category: string } | { host: string } | { action: Action };
export type Action = 'cast' | 'record' | 'play-aloud' | 'install' | 'report' | 'take-home';

export interface Permit {
  what: Permission;
  until: Millis;
}

export type Changer = 'teacher' | 'school' | 'guardian' | 'nobody';
export type DeviceState = 'unknown' | 'shared' | 'lent' | 'own' | 'staff' | 'repair' | 'lost' | 'suspended';

export interface Decision {
  allow: boolean;
  /** `R-POL-3`. */
  rule: string;
  reason: string;
  changer: Changer;
  until?: Millis | null;
  record: boolean;
  alert?: string | null;
}

export interface PolicyRow {
  kind: 'bundle' | 'category' | 'web' | 'action';
  id: string;
  name: { 'zh-Hant-TW': string; en: string } | null;
  decision: Decision;
  clause: string;
  switch: boolean;
}

/** `GET /api/policy`. */
export interface PolicyView {
  revision: string;
  now: Millis;
  lesson: boolean;
  device: DeviceState;
  permits: Permit[];
  rows: PolicyRow[];
}

/** `GET /api/policy/why`. */
export interface Why {
  host: string;
  decision: Decision;
  clause: string;
}

/** `GET /api/policy/mine`. */
export interface Refused {
  at: Millis;
  name: string;
  decision: Decision;
}

// view.rs

export type Envelope<V> =
  | { type: 'view'; seq: number; now: Millis; view: V }
  | { type: 'current'; seq: number; now: Millis }
  | { type: 'bye'; code: ProblemCode };

export interface RoomInfo {
  name: string;
  version: string;
  join_url: string;
  lesson: boolean;
  setup: boolean;
  /** The database was damaged and the box began with an empty one. */
  set_aside?: boolean;
}

// keeping.rs

export interface SetAside {
  at: Millis;
  files: string[];
  backups: string;
}

/** `GET /api/attendance`: a lesson with those who took part from home. */
export interface LessonAtHome {
  lesson: string;
  class_name: string;
  started_at: Millis;
  ended_at: Millis | null;
  teacher: string;
  students: { seat: Seat; name: string; times: { from: Millis; to: Millis | null }[]; minutes: number }[];
}

export interface Keeping {
  set_aside?: SetAside | null;
  records_wait: boolean;
}

export type Sharing = 'off' | 'asking' | 'invited' | 'approved' | 'live';
export type Layout = 1 | 2 | 4 | 9;

export interface Tile {
  source: SourceId;
  label: string;
  frozen: boolean;
  live: boolean;
}

export interface Stage {
  layout: Layout;
  tiles: (Tile | null)[];
}

export interface Marks {
  recording: boolean;
  live: boolean;
  offline?: boolean;
}

export interface LessonView {
  id: string;
  class_name: string;
  started_at: Millis;
  attention: boolean;
  locked: boolean;
  open_until: Millis | null;
  permits: Permit[];
}

export interface TeacherView {
  room: string;
  join_url: string;
  you: string;
  holds: boolean;
  holder: string | null;
  lesson: LessonView | null;
  code: string | null;
  seats: SeatView[];
  sources: SourceView[];
  stage: Stage;
  marks: Marks;
  panels: PanelState[];
  panel_waiting: boolean;
  room_live: boolean;
  alerts: DeviceAlert[];
  reports: SiteReport[];
  keeping: Keeping;
}

/** A student has told of a bad site (R-POL-19). */
export interface SiteReport {
  id: number;
  at: Millis;
  seat: Seat;
  name: string;
  home: boolean;
}

export type DeviceTrouble = 'unknown' | 'not-borrower' | 'lost';

export interface DeviceAlert {
  what: DeviceTrouble;
  rule: string;
  address: string;
  mac: string | null;
  seat: Seat | null;
  name: string | null;
  device: string | null;
  borrower: string | null;
}

export interface SeatView {
  seat: Seat;
  name: string;
  taken: boolean;
  online: boolean;
  sharing: Sharing;
  asked_at: Millis | null;
  tile: number | null;
  thumbnail: number | null;
  home: HomeSeat | null;
}

export type Microphone = 'closed' | 'open' | 'live';

export interface HomeSeat {
  online: boolean;
  joined_at: Millis | null;
  hand_at: Millis | null;
  microphone: Microphone;
}

export interface SourceView {
  source: SourceId;
  label: string;
  live: boolean;
  tile: number | null;
}

export interface PanelState {
  id: number;
  name: string;
  online: boolean;
  lost: SourceId[];
}

export interface StudentView {
  room: string;
  lesson: LessonView | null;
  seat: Seat;
  name: string;
  sharing: Sharing;
  wanted: boolean;
  on_stage: boolean;
  refused: Problem | null;
  marks: Marks;
}

export interface PanelView {
  room: string;
  join_url: string;
  lesson: LessonView | null;
  code: string | null;
  stage: Stage;
  voice: Voice | null;
  marks: Marks;
  notice: string | null;
}

export interface Voice {
  source: SourceId;
  name: string;
  live: boolean;
}

export type Watching =
  | { kind: 'nothing' }
  | { kind: 'room' }
  | { kind: 'panel'; source: SourceId; label: string; frozen: boolean };

export interface HomeView {
  room: string;
  lesson: LessonView;
  seat: Seat;
  name: string;
  watching: Watching;
  heard: boolean;
  hand: number | null;
  microphone: Microphone;
  speaker: string | null;
  marks: Marks;
}

export interface HomeLink {
  url: string;
  qr: string;
  name: string;
}

export interface HomePass {
  token: string;
  seat: Seat;
  name: string;
  source: SourceId;
}

export interface JoinTicket {
  ticket: string;
  class_name: string;
  seats: OpenSeat[];
}

export interface OpenSeat {
  seat: Seat;
  name: string;
  taken: boolean;
}

export interface SeatPass {
  token: string;
  seat: Seat;
  name: string;
  source: SourceId;
}

// panel.rs

export interface PairRequest {
  name: string;
}

export interface PairWaiting {
  id: string;
  code: string;
}

export interface PairDone {
  token: string;
}

export interface PairApprove {
  code: string;
}

export interface PanelReport {
  lost: SourceId[];
}

// problem.rs

export type ProblemCode =
  | 'bad-input'
  | 'wrong-content-type'
  | 'too-large'
  | 'too-many-tries'
  | 'signed-out'
  | 'not-allowed'
  | 'not-found'
  | 'wrong-code'
  | 'wrong-password'
  | 'weak-password'
  | 'no-lesson'
  | 'lesson-running'
  | 'not-holder'
  | 'locked'
  | 'attention'
  | 'not-approved'
  | 'seat-taken'
  | 'no-such-seat'
  | 'link-revoked'
  | 'home-taken'
  | 'elsewhere'
  | 'microphone-closed'
  | 'source-busy'
  | 'source-silent'
  | 'bad-sdp'
  | 'stale-etag'
  | 'no-consent'
  | 'below-quorum'
  | 'has-device'
  | 'device-lent'
  | 'device-not-ready'
  | 'old-text'
  | 'link-void'
  | 'file-encoding'
  | 'file-unreadable'
  | 'file-columns'
  | 'changed'
  | 'full'
  | 'library-full'
  | 'disk-full'
  | 'origin-silent'
  | 'address-refused'
  | 'copies-forbidden'
  | 'stream-unfit'
  | 'not-ready'
  | 'internal';

export interface Problem {
  code: ProblemCode;
  status: number;
  title: string;
  field?: string | null;
  rule?: string | null;
  retry_after?: number | null;
}

// Bodies of the HTTP routes that the protocol crate does not name.

export interface Student {
  seat: Seat;
  name: string;
}

/** `GET /api/classes`. */
export interface Class {
  id: number;
  name: string;
  students: Student[];
}

/** `POST /api/sources`. */
export interface SourceKey {
  source: SourceId;
  key: string;
  whip_url: string;
}

/** `POST /api/student/whip-key`. */
export interface WhipKey {
  key: string;
  whip_url: string;
}
