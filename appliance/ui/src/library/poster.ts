/** A picture of a video for the shelf, taken in the teacher's own browser: the box decodes nothing. */

import { play } from './player';
import type { Item } from './library';

const WIDTH = 480;
const MOST = 256 * 1024;
const PATIENCE = 15_000;

const until = (video: HTMLVideoElement, event: string) =>
  new Promise<void>((done, fail) => {
    const timer = setTimeout(() => fail(new Error('timeout')), PATIENCE);
    video.addEventListener(event, () => (clearTimeout(timer), done()), { once: true });
    video.addEventListener('error', () => (clearTimeout(timer), fail(new Error('no video'))), { once: true });
  });

async function shoot(video: HTMLVideoElement): Promise<Blob | null> {
  if (video.readyState < HTMLMediaElement.HAVE_METADATA) await until(video, 'loadedmetadata');
  // Not the first picture, which is often black.
  const sought = until(video, 'seeked');
  video.currentTime = Number.isFinite(video.duration) ? Math.min(5, video.duration * 0.2) : 1;
  await sought;
  if (video.videoWidth === 0) return null;
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = Math.round((WIDTH * video.videoHeight) / video.videoWidth);
  canvas.getContext('2d')?.drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', 0.8));
  return blob && blob.size <= MOST ? blob : null;
}

function hidden(): HTMLVideoElement {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  video.playsInline = true;
  return video;
}

/** A picture of an item that can be played, or nothing. */
export async function posterOf(item: Item): Promise<Blob | null> {
  const video = hidden();
  const playing = await play(item, video).catch(() => null);
  try {
    return playing ? await shoot(video) : null;
  } catch {
    return null;
  } finally {
    playing?.stop();
  }
}
