import { describe, expect, it } from 'vitest';
import { Asking } from './asking';

describe('asking to be paired', () => {
  it('does not ask at once when others at the same address have pushed it out', () => {
    const asking = new Asking(() => 0);
    const pauses = [1, 2, 3, 4, 5, 6].map(() => {
      asking.heard();
      return asking.after('not-found', null, 2_000);
    });
    expect(pauses.map((pause) => pause.milliseconds)).toEqual([8_000, 16_000, 32_000, 64_000, 120_000, 120_000]);
    expect(pauses[0]?.told).toEqual({ why: 'crowded', seconds: 8 });
  });

  it('asks soon when its code has had its time, and when the hub began anew', () => {
    const asking = new Asking(() => 0);
    asking.heard();
    expect(asking.after('not-found', null, 600_000)).toEqual({ milliseconds: 300, told: null });
    asking.heard();
    expect(asking.after('unreachable', null, 5_000)).toEqual({ milliseconds: 300, told: null });
    expect(asking.after('not-found', null, 6_000)).toEqual({ milliseconds: 600, told: null });
  });

  it('waits as long as the hub says and says so', () => {
    const asking = new Asking(() => 0);
    expect(asking.after('too-many-tries', 42, 0)).toEqual({ milliseconds: 42_000, told: { why: 'too-many-tries', seconds: 42 } });
    expect(asking.after('too-many-tries', null, 0).milliseconds).toBe(10_000);
  });
});
