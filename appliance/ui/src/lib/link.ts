/**
 * Keeps one media session up until it is told to stop: opens it, watches the connection, restarts ICE when the network
 * changes and opens it anew when that does not help. Publisher and player differ only in what they put into it.
 */

import { asFailure, type Failure } from './api';
import { Backoff } from './backoff';
import { Rival } from './rival';
import { MediaSession } from './session';

/** How long a broken path may take to come back before the session is opened anew, in milliseconds. */
const HEAL_WITHIN = 2500;
/** How long a new session may take to connect, in milliseconds. */
const CONNECT_WITHIN = 5000;

/** `taken`: another page has the place, this one has stopped for good. */
export type LinkState = 'connecting' | 'up' | 'waiting' | 'closed' | 'taken';

export abstract class MediaLink {
  protected session: MediaSession | null = null;
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private state: LinkState = 'connecting';
  private readonly rival = new Rival();
  /** The session in hand has been up. */
  private wasUp = false;
  /** Only one page can have the place: this one gives way rather than fight for it. */
  single = false;
  /** Outside the room: the hub is asked for a relay first. */
  relayed = false;

  constructor(
    protected readonly endpoint: string,
    protected readonly token: string | undefined,
    private readonly changed: (state: LinkState, failure?: Failure) => void,
  ) {
    addEventListener('online', this.check);
    addEventListener('pagehide', this.leaving);
    addEventListener('pageshow', this.returning);
  }

  /** Puts tracks and transceivers into a new connection. */
  protected abstract prepare(pc: RTCPeerConnection): void;
  /** May change the hub's answer. */
  protected edit(answer: string): string {
    return answer;
  }
  /** After the answer has been applied. */
  protected opened(): void {}

  start(): void {
    void this.connect();
  }

  /** There is news of the other side: tries at once instead of waiting. */
  hurry(): void {
    if (this.state === 'waiting') this.later(0);
  }

  /** Opens the session anew, because what comes over it is not what should come. */
  renew(): void {
    if (!this.over) void this.connect();
  }

  stop(): void {
    this.end('closed');
  }

  private end(state: 'closed' | 'taken'): void {
    if (this.over) return;
    this.set(state);
    clearTimeout(this.timer);
    removeEventListener('online', this.check);
    removeEventListener('pagehide', this.leaving);
    removeEventListener('pageshow', this.returning);
    this.session?.close();
    this.session = null;
  }

  private set(state: LinkState, failure?: Failure): void {
    this.state = state;
    this.changed(state, failure);
  }

  private get over(): boolean {
    return this.state === 'closed' || this.state === 'taken';
  }

  private async connect(): Promise<void> {
    this.session?.close();
    this.set('connecting');
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const session = new MediaSession(pc, this.token);
    this.session = session;
    this.wasUp = false;
    pc.addEventListener('connectionstatechange', () => this.watch(session));
    try {
      if (this.relayed) await session.findRelay(this.endpoint);
      this.prepare(pc);
      await session.open(this.endpoint, (answer) => this.edit(answer));
    } catch (error) {
      if (this.over || this.session !== session) return session.close();
      session.close();
      const failure = asFailure(error);
      this.set('waiting', failure);
      this.later(Math.min((failure.problem?.retry_after ?? 0) * 1000, 5000) || this.backoff.next());
      return;
    }
    if (this.over || this.session !== session) return session.close();
    this.opened();
    if (pc.connectionState !== 'connected') this.later(CONNECT_WITHIN);
  }

  private later(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), milliseconds);
  }

  private watch(session: MediaSession): void {
    if (this.over || this.session !== session) return;
    switch (session.pc.connectionState) {
      case 'connected':
        clearTimeout(this.timer);
        this.backoff.reset();
        this.wasUp = true;
        this.set('up');
        break;
      case 'disconnected':
      case 'failed':
        this.set('connecting');
        void this.heal(session);
        break;
      case 'closed':
        this.gone(this.backoff.next());
        break;
    }
  }

  /** The hub has ended the session. */
  private gone(retry: number): void {
    if (this.wasUp && this.single && this.rival.took()) this.end('taken');
    else this.later(retry);
    this.wasUp = false;
  }

  private async heal(session: MediaSession): Promise<void> {
    this.later(HEAL_WITHIN);
    const outcome = await session.restartIce();
    if (this.over || this.session !== session) return;
    if (outcome === 'gone') this.gone(0);
    else if (outcome === 'unreachable') this.later(this.backoff.next());
    // A connection that never broke changes no state that `watch` could see.
    else if (session.pc.connectionState === 'connected') clearTimeout(this.timer);
  }

  /** The way to the hub may have changed, or the hub may be a new one: makes sure that the session still lives. */
  check = (): void => {
    if (this.over || !this.session) return;
    this.rival.forgive();
    if (this.state === 'waiting') this.later(0);
    else if (this.session.pc.remoteDescription) void this.heal(this.session);
  };

  private readonly leaving = (): void => {
    this.session?.close();
  };

  /** Tablets keep a page in memory when the student goes to another and back. */
  private readonly returning = (event: PageTransitionEvent): void => {
    if (event.persisted) this.later(0);
  };
}
