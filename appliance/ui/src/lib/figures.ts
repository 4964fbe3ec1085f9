/** The usage figures as the hub sends them (`core::figures`), and how they are said. Shares are hundredths of a percent. */

import { lang, t } from './i18n';

export type Use = 'used' | 'unused' | 'unknown';

export interface Rate {
  used: number;
  unused: number;
  unknown: number;
}

export type Figure =
  | { is: 'known'; share: number }
  | { is: 'between'; least: number; most: number }
  | { is: 'unknown'; why: 'no-devices' | 'nothing-seen' | 'no-periods' };

export interface Views<T> {
  plain: T;
  strict: T;
}

export interface TeacherDays {
  teacher: string;
  days: number;
  unseen: number;
  goal: number;
  reached: boolean | null;
}

export interface PlatformHours {
  platform: string;
  seconds: number;
  users: number;
  complete: boolean;
}

export interface DeviceFigures {
  device: string;
  used: Views<Use>;
  active_days: number;
  seconds: number;
  unseen_days: number;
}

export interface MonthFigures {
  month: string;
  until: string | null;
  used: Views<Rate>;
  used_share: Views<Figure>;
  after_class: Views<Rate>;
  after_class_share: Views<Figure>;
  weeks: { monday: string; rate: Views<Rate> }[];
  week_mean: Views<Figure>;
  days: { day: string; school: boolean; rate: Rate }[];
  platforms: PlatformHours[];
  /** Only the days of who asks. */
  teachers: TeacherDays[];
  /** School days on which the box did not run. */
  unseen_days: number;
  devices: DeviceFigures[];
}

export interface SemesterFigures {
  days: { from: string; to: string };
  until: string;
  months: { month: string; used: Views<Rate>; after_class: Views<Rate> }[];
  month_mean: Views<Figure>;
  points: number | null;
  after_class_mean: Views<Figure>;
  week_mean: Views<Figure>;
  weeks: number;
  teachers: TeacherDays[];
}

/** A text in both languages. */
export type Both = Record<'zh-Hant-TW' | 'en', string>;

export interface Names {
  platforms: Record<string, Both>;
  teachers: Record<string, string>;
  /** By the device's code; only devices that are on loan, of a class's month only those in its figures. */
  devices: Record<string, { seat: number | null; name: string }>;
}

/** `GET /api/month`. */
export interface MonthAnswer {
  class: { id: number; name: string };
  /** Account of who asks. */
  you: string;
  today: string;
  figures: MonthFigures;
  names: Names;
  /** How it was counted, in lines. */
  rules: Record<'zh-Hant-TW' | 'en', string[]>;
}

/** What the office types for the summary table of annex 6. */
export interface Typed {
  priority: number | null;
  scheme: string | null;
  county: string | null;
  town: string | null;
  remoteness: string | null;
  code: string | null;
  school: string | null;
  grades: string | null;
  subjects: string | null;
  devices: number | null;
  system: string | null;
  carts: number | null;
  other_points: number | null;
}

/** `GET /api/report`. */
export interface ReportAnswer {
  today: string;
  /** Name of the semester, e.g. `115-1`. */
  of: string;
  /** Semesters that can be asked for, the present one first, with their months that have begun. */
  offered: { semester: string; months: string[] }[];
  semester: SemesterFigures;
  names: Names;
  rules: Record<'zh-Hant-TW' | 'en', string[]>;
  typed: Typed;
  /** The 18 cells of the school's row in words. */
  row: Record<'zh-Hant-TW' | 'en', string[]>;
  /** Which day's register the row rests on, in words. */
  register: Both;
}

const percent = (share: number) => `${Math.floor(share / 100)}.${String(share % 100).padStart(2, '0')}%`;

/** A share in words: exact, between two bounds, or unknown. */
export function figureWords(figure: Figure): string {
  if (figure.is === 'known') return percent(figure.share);
  if (figure.is === 'between') return t('figures.between', { least: percent(figure.least), most: percent(figure.most) });
  return t('figures.unknown');
}

/** The share of a rate by the same rule as the hub's: cut off, never rounded up. */
export function figureOf({ used, unused, unknown }: Rate): Figure {
  const counted = used + unused + unknown;
  const share = (part: number) => Math.floor((part * 10_000) / counted);
  if (counted === 0) return { is: 'unknown', why: 'no-devices' };
  if (unknown === counted) return { is: 'unknown', why: 'nothing-seen' };
  return unknown === 0 ? { is: 'known', share: share(used) } : { is: 'between', least: share(used), most: share(used + unknown) };
}

/** Hours with one place, cut off. */
export function hoursWords(line: PlatformHours): string {
  if (line.seconds === 0 && !line.complete) return t('figures.unknown');
  const hours = (Math.floor(line.seconds / 360) / 10).toFixed(1);
  return line.complete ? hours : t('figures.at-least', { hours });
}

/** `YYYY-MM-DD` as month and day. */
export function dayWords(day: string, weekday = false): string {
  const options: Intl.DateTimeFormatOptions = { month: 'numeric', day: 'numeric', timeZone: 'UTC' };
  if (weekday) options.weekday = 'short';
  return new Intl.DateTimeFormat(lang === 'en' ? 'en' : 'zh-TW', options).format(new Date(`${day}T00:00:00Z`));
}

/** `YYYY-MM` as year and month. */
export function monthWords(month: string): string {
  const options: Intl.DateTimeFormatOptions = { year: 'numeric', month: 'long', timeZone: 'UTC' };
  return new Intl.DateTimeFormat(lang === 'en' ? 'en' : 'zh-TW', options).format(new Date(`${month}-01T00:00:00Z`));
}

/** The month so many months later. */
export function monthPlus(month: string, months: number): string {
  const [year = 1970, number = 1] = month.split('-').map(Number);
  const count = year * 12 + number - 1 + months;
  return `${Math.floor(count / 12)}-${String((count % 12) + 1).padStart(2, '0')}`;
}
