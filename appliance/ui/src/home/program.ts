/**
 * The program: one session whose picture the hub changes, with two sound tracks beside it: the room and the student who
 * speaks from home. Nothing is negotiated anew when the teacher shows something else.
 */

import { MediaLink } from '../lib/link';

export interface Heard {
  /** The picture and the room's sound, which belong together. */
  picture: MediaStream;
  /** The voice of another student at home. */
  voice: MediaStream;
}

export class Program extends MediaLink {
  override relayed = true;

  constructor(
    token: string,
    private readonly came: (heard: Heard) => void,
    changed: ConstructorParameters<typeof MediaLink>[2],
  ) {
    super('/whep/program', token, changed);
  }

  protected override prepare(pc: RTCPeerConnection): void {
    const video = pc.addTransceiver('video', { direction: 'recvonly' });
    const room = pc.addTransceiver('audio', { direction: 'recvonly' });
    const voice = pc.addTransceiver('audio', { direction: 'recvonly' });
    for (const { receiver } of [video, room]) {
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 80;
    }
    this.came({
      picture: new MediaStream([video.receiver.track, room.receiver.track]),
      voice: new MediaStream([voice.receiver.track]),
    });
  }
}
