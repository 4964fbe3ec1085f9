/** Small pictures of what a student is about to share, for the teacher's roster. */

import { every } from './ticker';

const WIDTH = 320;
const HEIGHT = 180;
const QUALITY = 0.6;
const EVERY = 3000;

/** Draws `stream` every 3 seconds and gives the JPEG to `send`. Returns what stops it. */
export function thumbnails(stream: MediaStream, send: (jpeg: Blob) => void): () => void {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext('2d', { alpha: false });
  const shoot = () => {
    if (!context || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.videoWidth === 0) return;
    const scale = Math.min(WIDTH / video.videoWidth, HEIGHT / video.videoHeight);
    const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
    context.fillStyle = '#000';
    context.fillRect(0, 0, WIDTH, HEIGHT);
    context.drawImage(video, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
    canvas.toBlob((jpeg) => jpeg && send(jpeg), 'image/jpeg', QUALITY);
  };
  void video.play().catch(() => undefined);
  video.addEventListener('loadeddata', shoot, { once: true });
  const stop = every(EVERY, shoot);
  return () => {
    stop();
    video.srcObject = null;
  };
}
