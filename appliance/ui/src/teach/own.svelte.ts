/** The teacher's own screen as a source of the room. */

import { asFailure } from '../lib/api';
import { captureScreen, type Capture } from '../lib/capture';
import { t } from '../lib/i18n';
import { Tabs } from '../lib/tabs';
import { complain, say } from '../lib/toasts.svelte';
import { Publisher } from '../lib/whip';
import type { RoomControl } from './room.svelte';

/** Answers after which trying again is pointless. */
const FINAL = new Set(['not-holder', 'no-lesson', 'signed-out', 'not-allowed', 'source-busy', 'bad-sdp']);

export class OwnScreen {
  on = $state(false);
  private capture: Capture | null = null;
  private publisher: Publisher | null = null;
  private readonly tabs = new Tabs('teacher', () => this.giveWay());

  constructor(private readonly room: RoomControl) {}

  /** Another page of this teacher shares from now on: two would take the place from each other for ever. */
  private giveWay(): void {
    if (!this.on) return;
    say(t('teach.my-screen-elsewhere'), 'error');
    void this.stop(false);
  }

  toggle = (): void => void (this.on ? this.stop(true) : this.start());

  private async start(): Promise<void> {
    if (typeof navigator.mediaDevices?.getDisplayMedia !== 'function') return say(t('teach.my-screen-cannot'), 'error');
    try {
      this.capture = await captureScreen();
    } catch {
      return say(t('teach.my-screen-no'), 'error');
    }
    this.on = true;
    const { stream } = this.capture;
    for (const track of stream.getVideoTracks()) track.addEventListener('ended', () => void this.stop(true));
    this.tabs.claim();
    this.publisher = new Publisher('/whip/teacher', undefined, stream, (state, failure) => {
      if (state === 'taken') this.giveWay();
      if (!failure || !FINAL.has(asFailure(failure).code)) return;
      complain(failure);
      void this.stop(false);
    });
    this.publisher.single = true;
    this.publisher.prefer('detail');
    this.publisher.start();
    if (!(await this.room.show('teacher'))) void this.stop(false);
  }

  /** The hub is back after a break. */
  check(): void {
    this.publisher?.check();
  }

  /** Gives the screen back; `tell` also takes it off the panel. */
  async stop(tell: boolean): Promise<void> {
    if (!this.on) return;
    this.on = false;
    this.publisher?.stop();
    this.publisher = null;
    this.capture?.release();
    this.capture = null;
    if (tell && this.room.view?.lesson && this.room.view.holds) await this.room.do({ do: 'remove', source: 'teacher' });
  }
}
