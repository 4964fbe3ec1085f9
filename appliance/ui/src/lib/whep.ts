/** Playing over WHEP, with as little delay as the browser allows. */

import { MediaLink } from './link';

export type LayerName = 'l' | 'm' | 'h';

export class Player extends MediaLink {
  private stream: MediaStream | null = null;

  constructor(
    endpoint: string,
    token: string | undefined,
    private max: LayerName,
    private readonly sound: boolean,
    private readonly picture: (stream: MediaStream) => void,
    changed: ConstructorParameters<typeof MediaLink>[2],
  ) {
    super(endpoint, token, changed);
  }

  protected override prepare(pc: RTCPeerConnection): void {
    this.stream = new MediaStream();
    const stream = this.stream;
    pc.addTransceiver('video', { direction: 'recvonly' });
    if (this.sound) pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addEventListener('track', ({ track, receiver }) => {
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
      stream.addTrack(track);
      if (stream === this.stream) this.picture(stream);
    });
  }

  protected override opened(): void {
    void this.session?.layer(this.max);
  }

  /** The highest simulcast layer wanted from now on. */
  limit(max: LayerName): void {
    if (this.max === max) return;
    this.max = max;
    void this.session?.layer(max);
  }

  /** Pictures decoded so far; for pages in the background, where no frame callbacks come. */
  async decoded(): Promise<number> {
    let frames = 0;
    const report = await this.session?.pc.getStats().catch(() => null);
    report?.forEach((entry: { type: string; kind?: string; framesDecoded?: number }) => {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') frames += entry.framesDecoded ?? 0;
    });
    return frames;
  }
}

declare global {
  interface RTCRtpReceiver {
    /** Chromium's older name of `jitterBufferTarget`, in seconds. */
    playoutDelayHint?: number | null;
  }
}
