/** How long an item is really watched (R-USE-5): told in pieces, so that a tab that dies costs little of it. */

import { request } from '../lib/api';

/** Seconds after which a piece is told. */
const PIECE = 30;

export class Watch {
  private since: number | null = null;
  private seconds = 0;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly key: string,
    private readonly token: string | undefined,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.timer = setInterval(() => this.collect() >= PIECE && this.tell(), 5000);
  }

  on(): void {
    this.since ??= this.clock();
  }

  off(): void {
    this.collect();
    this.since = null;
  }

  private collect(): number {
    if (this.since !== null) {
      const now = this.clock();
      this.seconds += (now - this.since) / 1000;
      this.since = now;
    }
    return this.seconds;
  }

  /** Whole seconds go to the box; the rest waits for the next piece. */
  tell(): void {
    const whole = Math.floor(this.collect());
    this.seconds -= whole;
    if (whole < 1 || !this.token) return;
    const body = { seconds: Math.min(whole, 120) };
    void request('POST', `/api/library/${this.key}/watched`, { token: this.token, body }).catch(() => undefined);
  }

  stop(): void {
    clearInterval(this.timer);
    this.off();
    this.tell();
  }
}
