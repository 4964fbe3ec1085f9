/** What WHIP and WHEP have in common: one media session behind one HTTP resource (RFC 9725 and the WHEP draft). */

import { Failure, problemOf } from './api';
import { fragmentOf, gathered, iceServers, withFragment } from './sdp';

/** How long HTTP of a media session may take, in milliseconds. */
const ANSWER_WITHIN = 5000;
/**
 * The same for an ICE restart. After a change of address the browser may still hold a connection from the old one, which
 * nobody answers; the next request takes a new connection, so waiting long only keeps the picture away.
 */
const RESTART_WITHIN = 2000;

export class MediaSession {
  private resource: string | null = null;

  constructor(
    readonly pc: RTCPeerConnection,
    private readonly token: string | undefined,
  ) {}

  private async send(
    method: string,
    url: string,
    headers: Record<string, string>,
    body: string | null,
    within = ANSWER_WITHIN,
  ): Promise<Response> {
    if (this.token) headers['Authorization'] = `Bearer ${this.token}`;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), within);
    try {
      return await fetch(url, {
        method,
        headers,
        body,
        cache: 'no-store',
        credentials: this.token ? 'omit' : 'same-origin',
        signal: limit.signal,
      });
    } catch {
      throw new Failure(null);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The relay that the hub names to students at home (RFC 9725 §4.6): asked for before the candidates are gathered. */
  async findRelay(endpoint: string): Promise<void> {
    const response = await this.send('OPTIONS', endpoint, {}, null);
    if (!response.ok) throw new Failure(await problemOf(response));
    const servers = iceServers(response.headers.get('Link'));
    if (servers.length > 0) this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: servers });
  }

  /** Offers what the connection holds. `edit` may change the answer before it is applied. */
  async open(endpoint: string, edit: (answer: string) => string = (answer) => answer): Promise<void> {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    await gathered(this.pc);
    const offer = this.pc.localDescription?.sdp ?? '';
    const response = await this.send('POST', endpoint, { 'Content-Type': 'application/sdp' }, offer);
    if (!response.ok) throw new Failure(await problemOf(response));
    const place = response.headers.get('Location');
    if (place) this.resource = new URL(place, new URL(endpoint, location.href)).href;
    await this.pc.setRemoteDescription({ type: 'answer', sdp: edit(await response.text()) });
  }

  /** New ICE credentials on the same session. `gone`: the hub does not know the session, or can't restart it. */
  async restartIce(): Promise<'restarted' | 'gone' | 'unreachable'> {
    try {
      return await this.exchange();
    } catch {
      // The connection was closed meanwhile, or what came back does not fit it.
      return 'gone';
    }
  }

  private async exchange(): Promise<'restarted' | 'gone' | 'unreachable'> {
    if (!this.resource || this.pc.signalingState !== 'stable' || !this.pc.remoteDescription) return 'gone';
    const answer = this.pc.remoteDescription.sdp;
    await this.pc.setLocalDescription(await this.pc.createOffer({ iceRestart: true }));
    await gathered(this.pc);
    const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' };
    const fragment = fragmentOf(this.pc.localDescription?.sdp ?? '');
    const response = await this.send('PATCH', this.resource, headers, fragment, RESTART_WITHIN).catch(() => null);
    if (!response) return 'unreachable';
    const next = response.status === 200 ? withFragment(answer, await response.text()) : null;
    if (!next) return 'gone';
    await this.pc.setRemoteDescription({ type: 'answer', sdp: next });
    return 'restarted';
  }

  /** The highest simulcast layer that this viewer wants (WHEP only). */
  async layer(max: 'l' | 'm' | 'h'): Promise<void> {
    if (!this.resource) return;
    await this.send('POST', `${this.resource}/layer`, { 'Content-Type': 'application/json' }, JSON.stringify({ max })).catch(() => null);
  }

  /** Ends the session on both sides. Also works while the page goes away. */
  close(): void {
    if (this.resource) {
      const headers: HeadersInit = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      const credentials = this.token ? 'omit' : 'same-origin';
      void fetch(this.resource, { method: 'DELETE', headers, credentials, keepalive: true }).catch(() => undefined);
    }
    this.resource = null;
    this.pc.close();
  }
}
