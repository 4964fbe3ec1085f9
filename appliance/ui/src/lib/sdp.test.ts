import { describe, expect, it } from 'vitest';
import { fragmentOf, iceServers, withFragment, withStartRate } from './sdp';

const lines = (...text: string[]) => `${text.join('\r\n')}\r\n`;

const answer = lines(
  'v=0',
  'a=group:BUNDLE 0 1',
  'm=video 9 UDP/TLS/RTP/SAVPF 96 97',
  'a=mid:0',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldpassword',
  'a=candidate:1 1 udp 1 10.0.0.1 8080 typ host',
  'a=rtpmap:96 H264/90000',
  'a=fmtp:96 packetization-mode=1',
  'a=fmtp:97 apt=96',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldpassword',
  'a=fmtp:111 useinbandfec=1',
);

describe('ICE restart', () => {
  it('tells credentials and candidates of the first media section only', () => {
    expect(fragmentOf(answer)).toBe(
      lines(
        'a=group:BUNDLE 0 1',
        'm=video 9 UDP/TLS/RTP/SAVPF 96 97',
        'a=mid:0',
        'a=ice-ufrag:old',
        'a=ice-pwd:oldpassword',
        'a=candidate:1 1 udp 1 10.0.0.1 8080 typ host',
      ),
    );
  });

  it('puts the new credentials and candidates into every section of the answer', () => {
    const next = withFragment(answer, lines('a=ice-ufrag:new', 'a=ice-pwd:newpassword', 'a=candidate:2 1 udp 1 10.0.0.2 8080 typ host'));
    expect(next).not.toMatch(/old|10\.0\.0\.1/);
    expect(next?.match(/a=ice-ufrag:new/g)).toHaveLength(2);
    expect(next?.match(/10\.0\.0\.2/g)).toHaveLength(2);
    expect(next).toContain('a=fmtp:111 useinbandfec=1');
  });

  it('refuses a fragment without credentials', () => {
    expect(withFragment(answer, lines('a=candidate:2 1 udp 1 10.0.0.2 8080 typ host'))).toBeNull();
  });
});

describe('hints', () => {
  it('gives the start rate to video codecs, not to retransmission or sound', () => {
    const hinted = withStartRate(answer, 2000);
    expect(hinted).toContain('a=fmtp:96 packetization-mode=1;x-google-start-bitrate=2000');
    expect(hinted).toContain('a=fmtp:97 apt=96\r\n');
    expect(hinted).toContain('a=fmtp:111 useinbandfec=1\r\n');
  });

  it('reads ICE servers of a Link header', () => {
    const link = '<stun:a.example>; rel="ice-server", <turn:b.example?transport=udp>; rel="ice-server"; username="u"; credential="c", </x>; rel="next"';
    expect(iceServers(link)).toEqual([
      { urls: 'stun:a.example' },
      { urls: 'turn:b.example?transport=udp', username: 'u', credential: 'c' },
    ]);
    expect(iceServers(null)).toEqual([]);
  });
});
