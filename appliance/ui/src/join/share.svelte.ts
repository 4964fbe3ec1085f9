/** One student's sharing: chosen picture → asked → published when the teacher agrees → sent when it is wanted. */

import { asFailure, request, type Failure } from '../lib/api';
import { captureCamera, capturePicture, captureScreen, type Capture } from '../lib/capture';
import { t, type Key } from '../lib/i18n';
import type { LinkState } from '../lib/link';
import type { SeatPass, Sharing, StudentCommand, StudentView } from '../lib/protocol';
import { Tabs } from '../lib/tabs';
import { thumbnails } from '../lib/thumbnail';
import { complain, say } from '../lib/toasts.svelte';
import { Publisher, type Hint } from '../lib/whip';

export class Share {
  capture = $state.raw<Capture | null>(null);
  link = $state<LinkState>('closed');
  failure = $state.raw<Failure | null>(null);
  hint = $state<Hint>('detail');
  /** A chooser is open or the hub is being asked. */
  busy = $state(false);
  /** Another page shares for this seat, so this one stopped: another tab, or one on another device. */
  elsewhere = $state<'tab' | 'device' | null>(null);

  private view: StudentView | null = null;
  private before: Sharing = 'off';
  private publisher: Publisher | null = null;
  private stopThumbnails: (() => void) | null = null;
  private readonly tabs: Tabs;

  constructor(private readonly pass: SeatPass) {
    this.tabs = new Tabs(pass.source, () => this.giveWay('tab'));
  }

  screen = (): Promise<void> => this.choose(captureScreen(), 'join.denied');
  camera = (): Promise<void> => this.choose(captureCamera(), 'join.no-camera');
  picture = (file: File): Promise<void> => this.choose(capturePicture(file), 'join.picture-bad');

  /** What the hub says now. */
  follow(view: StudentView): void {
    this.view = view;
    const ended = this.before !== 'off' && view.sharing === 'off';
    this.before = view.sharing;
    if (view.sharing === 'off') this.elsewhere = null;
    if (ended && this.capture && !this.busy) {
      this.letGo();
      say(t('join.declined'), 'error');
    }
    this.settle();
  }

  /** The hub is back after a break. */
  check(): void {
    this.publisher?.check();
  }

  /** Ends sharing by the student's will. */
  stop = async (): Promise<void> => {
    this.letGo();
    this.elsewhere = null;
    this.before = 'off';
    await this.command({ do: 'stop' });
  };

  async leave(): Promise<void> {
    this.letGo();
    await request('POST', '/api/student/command', { token: this.pass.token, body: { do: 'leave' } }).catch(() => undefined);
  }

  prefer = (hint: Hint): void => {
    this.hint = hint;
    for (const track of this.capture?.stream.getVideoTracks() ?? []) track.contentHint = hint;
    this.publisher?.prefer(hint);
  };

  /** The page goes. */
  close(): void {
    this.letGo();
    this.tabs.close();
  }

  /** Another page shares from now on: two would take the place from each other for ever. */
  private giveWay(to: 'tab' | 'device'): void {
    if (!this.capture) return;
    this.letGo();
    this.elsewhere = to;
  }

  /** Gives everything back. Also when the page leaves the lesson. */
  letGo(): void {
    this.publisher?.stop();
    this.publisher = null;
    this.stopThumbnails?.();
    this.stopThumbnails = null;
    this.capture?.release();
    this.capture = null;
    this.link = 'closed';
    this.failure = null;
  }

  private async choose(chosen: Promise<Capture>, refusal: Key): Promise<void> {
    this.busy = true;
    try {
      const capture = await chosen;
      this.letGo();
      this.take(capture);
      await this.command({ do: 'ask' });
      if (this.capture === capture) this.begin(capture);
    } catch (error) {
      const byPerson = error instanceof DOMException && /denied by system/i.test(error.message);
      say(t(byPerson ? 'join.denied-system' : refusal), 'error');
    } finally {
      this.busy = false;
    }
  }

  private take(capture: Capture): void {
    this.capture = capture;
    this.elsewhere = null;
    this.hint = capture.kind === 'camera' ? 'motion' : 'detail';
    for (const track of capture.stream.getVideoTracks()) {
      track.contentHint = this.hint;
      // The browser's own "stop sharing" bar, or an unplugged camera.
      track.addEventListener('ended', () => this.capture === capture && void this.stop());
    }
  }

  /** The hub knows that the student wants to share: from now on the teacher sees a small picture. */
  private begin(capture: Capture): void {
    this.tabs.claim();
    this.stopThumbnails?.();
    this.stopThumbnails = thumbnails(capture.stream, (jpeg) => {
      void request('PUT', '/api/student/thumbnail', { token: this.pass.token, body: jpeg }).catch(() => undefined);
    });
    this.settle();
  }

  private async command(body: StudentCommand): Promise<void> {
    try {
      await request('POST', '/api/student/command', { token: this.pass.token, body });
    } catch (error) {
      if (body.do === 'ask') this.letGo();
      complain(asFailure(error));
    }
  }

  /** Publishes from the teacher's word on, and sends only while the picture is wanted. */
  private settle(): void {
    const { view, capture } = this;
    const allowed = view?.sharing === 'approved' || view?.sharing === 'live';
    if (!view || !capture || !allowed) {
      this.publisher?.stop();
      this.publisher = null;
      this.link = 'closed';
      return;
    }
    if (!this.publisher) {
      this.publisher = new Publisher(`/whip/${this.pass.source}`, this.pass.token, capture.stream, (state, failure) => {
        this.link = state;
        this.failure = failure ?? null;
        if (state === 'taken') this.giveWay('device');
      });
      this.publisher.single = true;
      this.publisher.want(view.wanted);
      this.publisher.prefer(this.hint);
      this.publisher.start();
    } else {
      this.publisher.want(view.wanted);
    }
  }
}
