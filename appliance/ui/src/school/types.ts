/** What `/api/school…` takes and gives (`appliance/src/web/register/`, `appliance/core/src/register/`). */

import type { Millis } from '../lib/protocol';

export type Party = 'student' | 'guardian';
export type ConsentState = 'missing' | 'student-only' | 'guardian-only' | 'both' | 'withdrawn';
export type LoanState = 'none' | 'active' | 'overdue' | 'stopped';
export type DeviceState = 'ready' | 'repair' | 'lost' | 'retired';
export type Kind = 'ipad' | 'chromebook' | 'windows' | 'android' | 'other';
export type Condition = 'good' | 'repair' | 'lost';
export type List = 'students' | 'devices';
export type Field = 'number' | 'name' | 'class' | 'seat' | 'code' | 'kind' | 'mac' | 'tag' | 'spare';

export const KINDS: readonly Kind[] = ['ipad', 'chromebook', 'windows', 'android', 'other'];
export const STATES: readonly DeviceState[] = ['ready', 'repair', 'lost', 'retired'];
export const PARTIES: readonly Party[] = ['student', 'guardian'];

export interface ClassRow {
  id: number;
  name: string;
  students: number;
  both: number;
  needed: number;
  reached: boolean;
}

export interface Signed {
  version: number;
  way: 'paper' | 'page';
  at: Millis;
}

export interface LoanRow {
  id: number;
  device: number;
  lent_at: Millis;
  due: string;
  state: LoanState;
}

export interface StudentRow {
  id: number;
  number: string | null;
  name: string;
  class: number | null;
  seat: number | null;
  consent: ConsentState;
  student_signed: Signed | null;
  guardian_signed: Signed | null;
  loan: LoanRow | null;
}

export interface DeviceRow {
  id: number;
  code: string;
  kind: Kind;
  mac: string | null;
  tag: string | null;
  spare: boolean;
  state: DeviceState;
  student: number | null;
}

export interface ConsentText {
  version: number;
  title: string;
  body: string;
  renew: boolean;
  at: Millis;
}

export interface Overview {
  classes: ClassRow[];
  students: StudentRow[];
  devices: DeviceRow[];
  text: ConsentText | null;
  school_year_ends: string;
  now: Millis;
}

export interface Preview {
  list: List;
  heading: number;
  columns: { title: string; field: Field | null; used: 'read' | 'unknown' | 'never' | 'again' }[];
  fields: Field[];
  rows: { row: number; deed: 'add' | 'change' | 'same'; cells: string[]; private_mac: boolean }[];
  problems: { row: number; field: Field; column: string; cell: string; wrong: string; other?: string }[];
  left_out: number;
  new_classes: string[];
  plan: string;
}

export interface Applied {
  added: number;
  changed: number;
  same: number;
  left_out: number;
}

export interface Me {
  name: string;
  roles: { teacher: boolean; office: boolean };
}

/** A take-home device with an agent (`/api/school/agents`). */
export interface AgentRow {
  device: string;
  enrolled_at: Millis;
  seen_at: Millis | null;
  link: 'wifi' | 'wired' | 'mobile' | null;
  version: string | null;
  hours: { days: number[]; from: number; to: number }[];
  /** Records that it has lost and told of. */
  dropped: number;
  dropped_at: Millis | null;
}

/** What a student or a device has told (`/api/school/alarms`). */
export interface AlarmRow {
  id: number;
  at: Millis;
  told_at: Millis;
  kind: 'reported-site' | 'tampered';
  what?: string;
  place: 'school' | 'home';
  device: string | null;
  class_name: string | null;
  seat: number | null;
  name: string | null;
  seen: { at: Millis; by: string } | null;
}

/** A line of the record of network access (`/api/policy/log`). */
export interface AccessLine {
  seq: number;
  at: number;
  device: string | null;
  address: string;
  name: string;
  allow: boolean;
  rule: string;
}

/** A line of the audit (`/api/audit`). */
export interface AuditLine {
  seq: number;
  at: number;
  who: string;
  place: string;
  action: string;
  detail: unknown;
}
