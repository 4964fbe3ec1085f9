import { describe, expect, it } from 'vitest';
import { Backoff } from './backoff';
import { Resume } from './feed';

describe('resuming the feed', () => {
  it('asks for everything first and for news afterwards', () => {
    const resume = new Resume<string>();
    expect(resume.query()).toBe('');
    expect(resume.take({ type: 'view', seq: 7, now: 0, view: 'a' })).toEqual({ view: 'a' });
    expect(resume.query()).toBe('?after=7');
  });

  it('drops a view that is older than what is shown', () => {
    const resume = new Resume<string>();
    resume.take({ type: 'view', seq: 7, now: 0, view: 'new' });
    expect(resume.take({ type: 'view', seq: 6, now: 0, view: 'old' })).toEqual({});
    expect(resume.seq).toBe(7);
  });

  it('takes the first view of a new connection whatever its number: the hub may have lost count', () => {
    const resume = new Resume<string>();
    resume.take({ type: 'view', seq: 7000, now: 0, view: 'before the crash' });
    expect(resume.take({ type: 'view', seq: 8, now: 0, view: 'old' })).toEqual({});
    resume.connected();
    expect(resume.query()).toBe('?after=7000');
    expect(resume.take({ type: 'view', seq: 8, now: 0, view: 'after it' })).toEqual({ view: 'after it' });
    expect(resume.take({ type: 'view', seq: 7, now: 0, view: 'old' })).toEqual({});
    expect(resume.seq).toBe(8);
  });

  it('stays where it is on a sign of life and ends on a farewell', () => {
    const resume = new Resume<string>();
    resume.take({ type: 'view', seq: 7, now: 0, view: 'a' });
    expect(resume.take({ type: 'current', seq: 9, now: 0 })).toEqual({});
    expect(resume.query()).toBe('?after=7');
    expect(resume.take({ type: 'bye', code: 'no-lesson' })).toEqual({ bye: 'no-lesson' });
  });
});

describe('waiting between tries', () => {
  it('doubles from 0.3 to 2 seconds and begins anew', () => {
    const backoff = new Backoff(() => 0);
    expect([1, 2, 3, 4, 5].map(() => backoff.next())).toEqual([300, 600, 1200, 2000, 2000]);
    backoff.reset();
    expect(backoff.next()).toBe(300);
  });

  it('spreads a class by up to a third', () => {
    expect(new Backoff(() => 1).next()).toBe(200);
  });
});
