/** Publishing over WHIP: three layers of one picture, and nothing on the wire while nobody wants it. */

import { MediaLink } from './link';
import { withStartRate } from './sdp';

/** What the picture is like: writing that must stay sharp, or movement that must stay smooth. */
export type Hint = 'detail' | 'motion';

/** Simulcast layers, the smallest first. `m` and `l` are a half and a quarter of each side. */
const LAYERS: RTCRtpEncodingParameters[] = [
  { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 180_000 },
  { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 700_000 },
  { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: 2_500_000 },
];
const START_KBPS = 2000;
/** Below this height a quarter of the picture is unreadable and smaller than some encoders take. */
const SIMULCAST_FROM_HEIGHT = 540;

export class Publisher extends MediaLink {
  private wanted = true;
  private hint: Hint = 'detail';

  constructor(
    endpoint: string,
    token: string | undefined,
    private readonly stream: MediaStream,
    changed: ConstructorParameters<typeof MediaLink>[2],
  ) {
    super(endpoint, token, changed);
  }

  protected override prepare(pc: RTCPeerConnection): void {
    const [video] = this.stream.getVideoTracks();
    if (video) {
      const height = video.getSettings().height ?? 720;
      const sendEncodings = height >= SIMULCAST_FROM_HEIGHT ? LAYERS : LAYERS.slice(2);
      const transceiver = pc.addTransceiver(video, {
        direction: 'sendonly',
        streams: [this.stream],
        sendEncodings: sendEncodings.map((layer) => ({ ...layer, active: this.wanted })),
      });
      preferH264(transceiver);
    }
    for (const audio of this.stream.getAudioTracks()) {
      pc.addTransceiver(audio, { direction: 'sendonly', streams: [this.stream] });
    }
  }

  protected override edit(answer: string): string {
    return withStartRate(answer, START_KBPS);
  }

  protected override opened(): void {
    this.apply();
  }

  /** Sends or holds back everything; the session stays up either way, so the next picture comes at once. */
  want(wanted: boolean): void {
    if (this.wanted === wanted) return;
    this.wanted = wanted;
    this.apply();
  }

  prefer(hint: Hint): void {
    this.hint = hint;
    for (const track of this.stream.getVideoTracks()) track.contentHint = hint;
    this.apply();
  }

  private apply(): void {
    for (const sender of this.session?.pc.getSenders() ?? []) {
      const parameters = sender.getParameters();
      if (parameters.encodings.length === 0) continue;
      for (const encoding of parameters.encodings) encoding.active = this.wanted;
      if (sender.track?.kind === 'video') {
        parameters.degradationPreference = this.hint === 'detail' ? 'maintain-resolution' : 'maintain-framerate';
      }
      void sender.setParameters(parameters).catch(() => undefined);
    }
  }
}

/** The room speaks H.264 where the browser can; the others stay in the offer behind it. */
function preferH264(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpSender.getCapabilities('video')?.codecs;
  if (!codecs || !('setCodecPreferences' in transceiver)) return;
  const rank = (codec: RTCRtpCodec): number => {
    if (codec.mimeType.toLowerCase() !== 'video/h264') return 2;
    const line = codec.sdpFmtpLine ?? '';
    return line.includes('packetization-mode=1') && /profile-level-id=42e0/i.test(line) ? 0 : 1;
  };
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}
