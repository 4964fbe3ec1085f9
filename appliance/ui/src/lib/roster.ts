/** Reading a class list that was pasted from a spreadsheet, and putting seats in order. */

import type { SeatView, Student } from './protocol';

export type RowTrouble = 'seat' | 'name' | 'twice' | 'long';

export interface PastedRow {
  /** Line in the pasted text, 1 is the first. */
  line: number;
  text: string;
  seat: number | null;
  name: string;
  trouble: RowTrouble | null;
}

/** As many characters as the box keeps; indigenous names in full take up to about 30. */
const MAX_NAME = 60;
/** A seat, perhaps with the one word that Chinese puts behind it. */
const SEAT = /^0*(\d{1,3})\D?$/;

/** Full-width digits and blanks as Chinese input methods write them. */
const plain = (text: string): string => text.normalize('NFKC').replace(/\s+/g, ' ').trim();

/** Control and direction characters have no place in a name. Everything else has: dots, Latin letters, apostrophes. */
const cleanName = (text: string): string =>
  text
    .replace(/[\p{Cc}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu, '')
    .replace(/[\s\u3000]+/g, ' ')
    .trim();

/**
 * Two columns: seat and name, separated by a tab, comma, semicolon, enumeration comma or blanks. A column of names alone is numbered
 * from 1. A heading row and empty lines are passed over. Further columns are ignored.
 */
export function parseRoster(text: string): PastedRow[] {
  const rows: PastedRow[] = [];
  const seen = new Set<number>();
  const lines = text.split(/\r\n|\r|\n/).map((raw, at) => ({ raw, line: at + 1 }));
  const filled = lines.filter(({ raw }) => plain(raw) !== '');
  const numbered = filled.some(({ raw }) => SEAT.test(plain(split(raw)[0] ?? '')));
  for (const [at, { raw, line }] of filled.entries()) {
    const cells = split(raw);
    // A heading says in words what the column holds.
    if (at === 0 && numbered && /^\D+$/.test(plain(cells[0] ?? '')) && plain(cells[1] ?? '') !== '') continue;
    const [first, second] = numbered ? [cells[0] ?? '', cells[1] ?? ''] : [String(rows.length + 1), cells.join(' ')];
    const digits = SEAT.exec(plain(first))?.[1];
    const seat = digits === undefined ? null : Number(digits);
    const name = cleanName(second);
    let trouble: RowTrouble | null = null;
    if (seat === null || seat < 1 || seat > 99) trouble = 'seat';
    else if (name === '') trouble = 'name';
    else if ([...name].length > MAX_NAME) trouble = 'long';
    else if (seen.has(seat)) trouble = 'twice';
    else seen.add(seat);
    rows.push({ line, text: raw.trim(), seat, name, trouble });
  }
  return rows;
}

function split(raw: string): string[] {
  const line = raw.replace(/^[\s\u3000]+|[\s\u3000]+$/g, '');
  if (line.includes('\t')) return line.split('\t').map(unquote);
  const marks = /[,;\u3001\uff0c\uff1b]/;
  if (marks.test(line)) return line.split(marks).map(unquote);
  const parts = /^(\S+?)[.:\uff1a]?[\s\u3000]+(.+)$/.exec(line);
  return parts ? [parts[1] ?? '', parts[2] ?? ''] : [line];
}

const unquote = (cell: string): string => cell.trim().replace(/^"(.*)"$/, '$1').replaceAll('""', '"');

/** The rows that can be kept, in order of their seats. */
export const studentsOf = (rows: readonly PastedRow[]): Student[] =>
  rows
    .filter((row): row is PastedRow & { seat: number } => row.trouble === null && row.seat !== null)
    .map(({ seat, name }) => ({ seat, name }))
    .sort((a, b) => a.seat - b.seat);

/** The other way round, for editing. */
export const rosterText = (students: readonly Student[]): string =>
  students.map(({ seat, name }) => `${seat}\t${name}`).join('\n');

/** Those who asked, the one who waits longest first. */
export const wishes = (seats: readonly SeatView[]): SeatView[] =>
  seats
    .filter((seat) => seat.sharing === 'asking')
    .sort((a, b) => (a.asked_at ?? Infinity) - (b.asked_at ?? Infinity) || a.seat - b.seat);

/** The raised hands of students at home, in the order in which they were raised. */
export const hands = (seats: readonly SeatView[]): SeatView[] =>
  seats
    .filter((seat) => seat.home?.hand_at != null)
    .sort((a, b) => (a.home?.hand_at ?? 0) - (b.home?.hand_at ?? 0) || a.seat - b.seat);

/** The media source of a seat: `seat-07`. */
export const sourceOf = (seat: number): string => `seat-${String(seat).padStart(2, '0')}`;
