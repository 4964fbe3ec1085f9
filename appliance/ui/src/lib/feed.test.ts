import { afterEach, describe, expect, it, vi } from 'vitest';
import { Backoff } from './backoff';
import { Feed, Resume } from './feed';

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

describe('a page that is open in too many places', () => {
  class Socket {
    static opened: Socket[] = [];
    onopen?: () => void;
    onmessage?: (event: { data: string }) => void;
    onclose?: () => void;
    constructor() {
      Socket.opened.push(this);
    }
    close(): void {}
  }
  const nothing = () => undefined;

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('rests until someone wants it there; a broken line is another thing', async () => {
    vi.useFakeTimers();
    Socket.opened = [];
    const listeners = new Map<string, () => void>();
    const listening = { addEventListener: (name: string, hear: () => void) => listeners.set(name, hear), removeEventListener: nothing };
    vi.stubGlobal('WebSocket', Socket);
    vi.stubGlobal('location', { protocol: 'https:', host: 'box' });
    vi.stubGlobal('document', { ...listening, visibilityState: 'visible' });
    vi.stubGlobal('addEventListener', listening.addEventListener);
    vi.stubGlobal('removeEventListener', nothing);
    vi.stubGlobal('fetch', () => Promise.resolve({ status: 426 }));
    const byes: string[] = [];
    const covers: (() => void)[] = [];
    let covered = 0;
    const on = { view: nothing, bye: (code: string) => byes.push(code), online: nothing };
    const feed = new Feed<string>(undefined, on, (goOn) => {
      covers.push(goOn);
      covered += 1;
      return () => (covered -= 1);
    });
    Socket.opened[0]?.onopen?.();
    Socket.opened[0]?.onclose?.();
    await vi.advanceTimersByTimeAsync(400);
    const before = Socket.opened.length;
    expect(before).toBe(2);

    Socket.opened[1]?.onopen?.();
    Socket.opened[1]?.onmessage?.({ data: JSON.stringify({ type: 'bye', code: 'elsewhere' }) });
    expect(covered).toBe(1);
    listeners.get('online')?.();
    listeners.get('visibilitychange')?.();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(Socket.opened.length).toBe(before);
    expect(byes).toEqual([]);

    covers[0]?.();
    expect(covered).toBe(0);
    expect(Socket.opened.length).toBe(before + 1);
    covers[0]?.();
    expect(Socket.opened.length).toBe(before + 1);
    feed.close();
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
