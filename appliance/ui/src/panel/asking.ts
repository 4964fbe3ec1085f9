/** How long a page that wants to be paired waits before it asks again. */

import type { Failure } from '../lib/api';
import { Backoff } from '../lib/backoff';

/** The hub keeps a code for ten minutes. When it is over much sooner, other panels at this address have pushed it out. */
const KEPT = 9 * 60_000;
/** The hub says how long; this is for one that does not. In seconds. */
const UNSAID = 10;

export interface Pause {
  milliseconds: number;
  /** Seconds to show: others have to be paired first, or the hub has been asked too often. */
  told: { why: 'crowded' | 'too-many-tries'; seconds: number } | null;
}

export class Asking {
  private readonly broken: Backoff;
  /** Who was pushed out and asks at once pushes out the next one, and all of them for ever. */
  private readonly crowded: Backoff;
  private away = false;

  constructor(random: () => number = Math.random) {
    this.broken = new Backoff(random);
    this.crowded = new Backoff(random, 8_000, 120_000);
  }

  /** The hub has answered. */
  heard(): void {
    this.away = false;
    this.broken.reset();
  }

  /** The hub has refused, or was not reached; `age` is the code's, in milliseconds. */
  after(code: Failure['code'], retryAfter: number | null | undefined, age: number): Pause {
    if (code === 'too-many-tries') {
      const seconds = retryAfter || UNSAID;
      return { milliseconds: seconds * 1000, told: { why: 'too-many-tries', seconds } };
    }
    // A hub that was away has forgotten all codes.
    const pushedOut = code === 'not-found' && age < KEPT && !this.away;
    this.away = code === 'unreachable';
    if (!pushedOut) return { milliseconds: this.broken.next(), told: null };
    const milliseconds = this.crowded.next();
    return { milliseconds, told: { why: 'crowded', seconds: Math.ceil(milliseconds / 1000) } };
  }
}
