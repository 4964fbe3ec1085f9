/** Plays files by the browser itself, streams with a manifest by Shaka Player, which is loaded only then. */

import type { Item } from './library';

export interface Playing {
  stop: () => void;
}

/** Starts `item` in `video`. Fails when it can't be played. */
export async function play(item: Item, video: HTMLVideoElement): Promise<Playing> {
  if (item.kind === 'video') {
    video.src = item.open;
    return {
      stop: () => {
        video.removeAttribute('src');
        video.load();
      },
    };
  }
  const { default: shaka } = await import('shaka-player/dist/shaka-player.compiled-es2021.js');
  const player = new shaka.Player();
  await player.attach(video);
  try {
    await player.load(new URL(item.open, location.href).href);
  } catch (error) {
    void player.destroy();
    throw error;
  }
  return { stop: () => void player.destroy() };
}
