/**
 * The live view of the room: a WebSocket that comes back by itself and resumes by sequence number.
 *
 * A view is the whole state, so the newest one is all that counts; older ones are dropped. The hub sends a sign of
 * life every 5 seconds: after 12 silent seconds the connection counts as dead even if the socket says otherwise.
 */

import { Backoff } from './backoff';
import { cover as coverPage } from './elsewhere';
import type { Envelope, ProblemCode } from './protocol';

/** Silence after which the connection is given up, in milliseconds. */
export const STALE_AFTER = 12_000;
/** How long a connection may take to open, in milliseconds. */
const OPEN_WITHIN = 4_000;

/** Decides what an envelope changes. Knows no socket and no clock. */
export class Resume<V> {
  seq: number | null = null;
  /**
   * Nothing has been said on this connection yet. What is said first counts whatever its number: it is the room as it is,
   * also of a hub that has lost count because its clock was set back.
   */
  private anew = true;

  connected(): void {
    this.anew = true;
  }

  take(envelope: Envelope<V>): { view?: V; bye?: ProblemCode } {
    switch (envelope.type) {
      case 'view':
        if (!this.anew && this.seq !== null && envelope.seq < this.seq) return {};
        this.anew = false;
        this.seq = envelope.seq;
        return { view: envelope.view };
      case 'current':
        this.anew = false;
        return {};
      case 'bye':
        return { bye: envelope.code };
    }
  }

  /** Where to connect to: with what is known already. */
  query(): string {
    return this.seq === null ? '' : `?after=${this.seq}`;
  }
}

export interface FeedHandlers<V> {
  /** A new view; `skew` is the hub's clock minus ours. */
  view(view: V, skew: number): void;
  /** The session has ended for good. */
  bye(code: ProblemCode): void;
  online(online: boolean): void;
  /** Connected again after a break: media sessions may be gone too. */
  returned?(): void;
}

export class Feed<V> {
  private readonly resume = new Resume<V>();
  private readonly backoff = new Backoff();
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private refusals = 0;
  private broken = false;
  /** While the page rests because it is open in too many places: takes away what says so. */
  private uncover: (() => void) | null = null;

  constructor(
    private readonly token: string | undefined,
    private readonly on: FeedHandlers<V>,
    private readonly cover: (goOn: () => void) => () => void = coverPage,
  ) {
    addEventListener('online', this.hurry);
    document.addEventListener('visibilitychange', this.hurry);
    this.open();
  }

  close(): void {
    this.closed = true;
    this.uncover?.();
    this.uncover = null;
    clearTimeout(this.timer);
    removeEventListener('online', this.hurry);
    document.removeEventListener('visibilitychange', this.hurry);
    this.drop();
  }

  private open(): void {
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const protocols = this.token ? ['classroom', `bearer.${this.token}`] : ['classroom'];
    const socket = new WebSocket(`${scheme}//${location.host}/api/ws${this.resume.query()}`, protocols);
    this.socket = socket;
    this.watch(OPEN_WITHIN);
    socket.onopen = () => {
      this.refusals = 0;
      this.resume.connected();
      this.on.online(true);
      if (this.broken) this.on.returned?.();
      this.broken = false;
      this.watch(STALE_AFTER);
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      this.backoff.reset();
      this.watch(STALE_AFTER);
      this.receive(event.data);
    };
    socket.onclose = () => this.lost();
  }

  private receive(text: string): void {
    const envelope = JSON.parse(text) as Envelope<V>;
    const { view, bye } = this.resume.take(envelope);
    if (view !== undefined && envelope.type === 'view') this.on.view(view, envelope.now - Date.now());
    if (bye === 'elsewhere') {
      this.rest();
    } else if (bye !== undefined) {
      this.close();
      this.on.bye(bye);
    }
  }

  /** The hub lets only so many pages of one account or pass be open: coming back by itself, this one would push out the next. */
  private rest(): void {
    clearTimeout(this.timer);
    this.drop();
    this.broken = true;
    this.on.online(false);
    this.uncover = this.cover(() => this.goOn());
  }

  private goOn(): void {
    if (!this.uncover) return;
    this.uncover();
    this.uncover = null;
    this.backoff.reset();
    this.open();
  }

  private watch(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lost(), milliseconds);
  }

  private drop(): void {
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  private lost(): void {
    if (this.closed) return;
    this.drop();
    this.broken = true;
    this.on.online(false);
    this.refusals += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.again(), this.backoff.next());
  }

  /** A browser does not tell why a WebSocket was refused; plain HTTP on the same address does. */
  private async again(): Promise<void> {
    if (this.refusals >= 2) {
      const headers: HeadersInit = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      const answer = await fetch('/api/ws', { headers, cache: 'no-store' }).catch(() => null);
      if (this.closed) return;
      if (answer?.status === 401) {
        this.close();
        this.on.bye('signed-out');
        return;
      }
    }
    this.open();
  }

  private readonly hurry = (): void => {
    if (this.closed || this.uncover || this.socket || document.visibilityState === 'hidden') return;
    clearTimeout(this.timer);
    this.backoff.reset();
    void this.again();
  };
}
