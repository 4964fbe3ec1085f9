/** Tells whether a media session is taken away again and again: then another page wants the same place. */

/** Once may be a hub that began anew. In milliseconds. */
const WITHIN = 60_000;
const TIMES = 2;

export class Rival {
  private taken: number[] = [];

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** The hub does not know a session any more that was up. True: going on would be a fight. */
  took(): boolean {
    const now = this.now();
    this.taken = [...this.taken.filter((at) => now - at < WITHIN), now];
    return this.taken.length >= TIMES;
  }

  /** There is another reason: the hub was away. */
  forgive(): void {
    this.taken = [];
  }
}
