/** Waiting times between tries: 0.3 s doubling up to 2 s, each shortened by up to a third so that a class does not come back in step. */
export class Backoff {
  private tries = 0;

  constructor(
    private readonly random: () => number = Math.random,
    private readonly first = 300,
    private readonly most = 2000,
  ) {}

  next(): number {
    const full = Math.min(this.most, this.first * 2 ** this.tries);
    this.tries += 1;
    return Math.round(full * (1 - this.random() / 3));
  }

  reset(): void {
    this.tries = 0;
  }
}
