/** The own voice: taken from the microphone only after the student's tap, sent only while the teacher has opened it. */

import type { LinkState } from '../lib/link';
import type { HomePass } from '../lib/protocol';
import { Publisher } from '../lib/whip';

export class Speech {
  /** The browser or its person has said no. */
  refused = $state(false);
  muted = $state(false);
  linked = $state<LinkState>('closed');
  private stream = $state.raw<MediaStream | null>(null);
  private publisher: Publisher | null = null;
  private asking = false;

  constructor(private readonly pass: HomePass) {}

  get on(): boolean {
    return this.stream !== null;
  }

  async start(): Promise<void> {
    if (this.on || this.asking) return;
    this.asking = true;
    this.refused = false;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
      this.stream = stream;
      this.muted = false;
      const publisher = new Publisher(`/whip/${this.pass.source}`, this.pass.token, stream, (state) => (this.linked = state));
      publisher.relayed = true;
      this.publisher = publisher;
      publisher.start();
    } catch {
      this.refused = true;
    } finally {
      this.asking = false;
    }
  }

  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  check(): void {
    this.publisher?.check();
  }

  /** Lets go of the microphone: its light goes out. */
  stop(): void {
    this.publisher?.stop();
    this.publisher = null;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.refused = false;
  }
}
