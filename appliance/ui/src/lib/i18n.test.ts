import { expect, it } from 'vitest';
import { pickLang } from './i18n';
import { semesterOf } from './semester';

it('answers any Chinese in Traditional Chinese, everyone else in English, and nobody in Chinese', () => {
  expect(pickLang(['zh-TW', 'en'])).toBe('zh-Hant-TW');
  expect(pickLang(['zh-CN'])).toBe('zh-Hant-TW');
  expect(pickLang(['en-US', 'zh-TW'])).toBe('en');
  expect(pickLang(['vi', 'zh-TW'])).toBe('zh-Hant-TW');
  expect(pickLang(['vi'])).toBe('en');
  expect(pickLang([])).toBe('zh-Hant-TW');
});

it('knows the school semesters', () => {
  expect(semesterOf(new Date(2026, 10, 21))).toEqual({ from: '2026-08-01', to: '2027-01-31' });
  expect(semesterOf(new Date(2027, 0, 31))).toEqual({ from: '2026-08-01', to: '2027-01-31' });
  expect(semesterOf(new Date(2027, 1, 1))).toEqual({ from: '2027-02-01', to: '2027-07-31' });
});
