/** The room as the signed-in teacher sees it, and the way to change it. */

import { SvelteSet } from 'svelte/reactivity';
import { request } from '../lib/api';
import { Clock } from '../lib/clock.svelte';
import { Feed } from '../lib/feed';
import { t } from '../lib/i18n';
import type { ProblemCode, TeacherCommand, TeacherView } from '../lib/protocol';
import { complain, say } from '../lib/toasts.svelte';

export class RoomControl {
  view = $state.raw<TeacherView | null>(null);
  online = $state(false);
  /** How often the feed broke and came back. */
  breaks = $state(0);
  /** What was tapped and is on its way to the hub; buttons show it at once. */
  readonly pending = new SvelteSet<string>();
  readonly clock = new Clock();
  /** The tile that the next tap is for. */
  chosen = $state<number | null>(null);

  /** Follows the room until the returned function is called. */
  follow(signedOut: (code: ProblemCode) => void): () => void {
    const stop = this.clock.start();
    const feed = new Feed<TeacherView>(undefined, {
      view: (view, skew) => {
        this.clock.set(skew);
        this.take(view);
      },
      bye: signedOut,
      online: (online) => (this.online = online),
      returned: () => (this.breaks += 1),
    });
    return () => {
      feed.close();
      stop();
    };
  }

  private take(view: TeacherView): void {
    const before = this.view;
    this.view = view;
    if (before?.holds && !view.holds && view.holder) say(t('teach.taken-over', { name: view.holder }), 'error');
    if (this.chosen !== null && (this.chosen >= view.stage.layout || !view.lesson)) this.chosen = null;
  }

  /** Asks the hub; `mark` is what shows as pressed meanwhile. True when it happened. */
  async do(command: TeacherCommand, mark: string = command.do): Promise<boolean> {
    this.pending.add(mark);
    try {
      await request('POST', '/api/room/command', { body: command });
      return true;
    } catch (error) {
      complain(error);
      return false;
    } finally {
      this.pending.delete(mark);
    }
  }

  /** One tap: this source on the panel, in the chosen tile if one is chosen. */
  show(source: string): Promise<boolean> {
    const tile = this.chosen;
    this.chosen = null;
    return this.do(tile === null ? { do: 'show', source } : { do: 'show', source, tile }, source);
  }
}
