/** Small edits of SDP text: fragments for ICE restarts (RFC 8840, RFC 9725 §4.3) and hints for the sender. */

const value = (sdp: string, name: string): string | undefined =>
  new RegExp(`^a=${name}:(.*)$`, 'm').exec(sdp)?.[1]?.trim();

/** The `application/trickle-ice-sdpfrag` body that tells the other side our ICE credentials and candidates. */
export function fragmentOf(sdp: string): string {
  const lines = sdp.split(/\r?\n/);
  const group = lines.find((line) => line.startsWith('a=group:BUNDLE'));
  const media = lines.find((line) => line.startsWith('m=')) ?? 'm=video 9 UDP/TLS/RTP/SAVPF 0';
  const first = lines.slice(lines.indexOf(media) + 1);
  const end = first.findIndex((line) => line.startsWith('m='));
  const section = end < 0 ? first : first.slice(0, end);
  const kept = [
    ...(group ? [group] : []),
    media,
    `a=mid:${value(section.join('\n'), 'mid') ?? '0'}`,
    `a=ice-ufrag:${value(sdp, 'ice-ufrag') ?? ''}`,
    `a=ice-pwd:${value(sdp, 'ice-pwd') ?? ''}`,
    ...section.filter((line) => line.startsWith('a=candidate:') || line === 'a=end-of-candidates'),
  ];
  return `${kept.join('\r\n')}\r\n`;
}

/** The answer as it is after an ICE restart: new credentials and candidates from `fragment`, the rest as before. */
export function withFragment(answer: string, fragment: string): string | null {
  const ufrag = value(fragment, 'ice-ufrag');
  const password = value(fragment, 'ice-pwd');
  if (!ufrag || !password) return null;
  const candidates = fragment.split(/\r?\n/).filter((line) => /^a=(candidate:|end-of-candidates)/.test(line));
  const out: string[] = [];
  for (const line of answer.split(/\r?\n/)) {
    if (/^a=(candidate:|end-of-candidates)/.test(line) || line === '') continue;
    if (line.startsWith('a=ice-ufrag:')) out.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) out.push(`a=ice-pwd:${password}`, ...candidates);
    else out.push(line);
  }
  return `${out.join('\r\n')}\r\n`;
}

/**
 * Chromium begins at 300 kbit/s and needs seconds to find out what a room's network carries. The format parameter
 * lets it begin where a screen is readable; its own bandwidth estimate goes on from there. Other browsers ignore it.
 */
export function withStartRate(answer: string, kilobits: number): string {
  let video = false;
  return answer
    .split('\r\n')
    .map((line) => {
      if (line.startsWith('m=')) video = line.startsWith('m=video');
      const coded = /^a=fmtp:\d+ (?!apt=)/.test(line);
      return video && coded && !line.includes('x-google-start-bitrate') ? `${line};x-google-start-bitrate=${kilobits}` : line;
    })
    .join('\r\n');
}

/** ICE servers from `Link: <turn:…>; rel="ice-server"; username="…"; credential="…"` (RFC 9725 §4.6). */
export function iceServers(link: string | null): RTCIceServer[] {
  if (!link) return [];
  const servers: RTCIceServer[] = [];
  for (const part of link.split(/,\s*(?=<)/)) {
    const url = /^\s*<([^>]+)>/.exec(part)?.[1];
    if (!url || !/rel="?ice-server"?/.test(part)) continue;
    const username = /username="([^"]*)"/.exec(part)?.[1];
    const credential = /credential="([^"]*)"/.exec(part)?.[1];
    servers.push(username && credential ? { urls: url, username, credential } : { urls: url });
  }
  return servers;
}

/** With a relay, the way to it may take a TLS handshake; the slow tries of a blocked line are not waited for. */
const RELAY_WITHIN = 4000;
/** Others of the same kind arrive within this time after the first relayed candidate. */
const AND_A_LITTLE = 150;

/**
 * Resolves when all candidates are known, at the latest after `limit` milliseconds: in the room the box needs the local ones
 * only. Where a relay is named, one candidate of it is waited for.
 */
export function gathered(pc: RTCPeerConnection): Promise<void> {
  const relayed = (pc.getConfiguration().iceServers ?? []).length > 0;
  const limit = relayed ? RELAY_WITHIN : 500;
  if (pc.iceGatheringState === 'complete') return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      pc.removeEventListener('icegatheringstatechange', changed);
      pc.removeEventListener('icecandidate', found);
      resolve();
    };
    const changed = () => pc.iceGatheringState === 'complete' && done();
    const found = ({ candidate }: RTCPeerConnectionIceEvent) => {
      if (candidate?.type !== 'relay') return;
      clearTimeout(timer);
      timer = setTimeout(done, AND_A_LITTLE);
    };
    let timer = setTimeout(done, limit);
    pc.addEventListener('icegatheringstatechange', changed);
    pc.addEventListener('icecandidate', found);
  });
}
