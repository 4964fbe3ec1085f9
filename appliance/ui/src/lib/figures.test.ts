import { expect, it } from 'vitest';
import { figureOf, figureWords, hoursWords, monthPlus } from './figures';

it('says what is unknown and never a zero for it', () => {
  expect(figureWords(figureOf({ used: 0, unused: 0, unknown: 3 }))).toBe('未知');
  expect(figureWords(figureOf({ used: 0, unused: 0, unknown: 0 }))).toBe('未知');
  expect(figureWords(figureOf({ used: 0, unused: 3, unknown: 0 }))).toBe('0.00%');
  expect(figureWords(figureOf({ used: 36, unused: 2, unknown: 2 }))).toBe('90.00%–95.00%');
});

it('never rounds up to a gate', () => {
  expect(figureWords(figureOf({ used: 89_999, unused: 10_001, unknown: 0 }))).toBe('89.99%');
});

it('tells exact hours from those that may be more', () => {
  const line = { platform: 'adl', users: 1 };
  expect(hoursWords({ ...line, seconds: 7199, complete: true })).toBe('1.9');
  expect(hoursWords({ ...line, seconds: 7199, complete: false })).toBe('至少 1.9');
  expect(hoursWords({ ...line, seconds: 0, complete: true })).toBe('0.0');
  expect(hoursWords({ ...line, seconds: 0, complete: false })).toBe('未知');
});

it('walks over the turn of the year', () => {
  expect(monthPlus('2026-12', 1)).toBe('2027-01');
  expect(monthPlus('2027-01', -1)).toBe('2026-12');
});
