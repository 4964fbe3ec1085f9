import { describe, expect, it } from 'vitest';
import { Rival } from './rival';

describe('a session that is taken away', () => {
  it('once is an accident, twice within a minute is a rival', () => {
    let now = 0;
    const rival = new Rival(() => now);
    expect(rival.took()).toBe(false);
    now = 61_000;
    expect(rival.took()).toBe(false);
    now = 100_000;
    expect(rival.took()).toBe(true);
  });

  it('is no rival when the hub was away', () => {
    const rival = new Rival(() => 0);
    expect(rival.took()).toBe(false);
    rival.forgive();
    expect(rival.took()).toBe(false);
  });
});
