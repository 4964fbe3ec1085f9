/** Beats that go on while the page is in the background: browsers slow a hidden page's timers down, a worker's not. */

import TickWorker from './ticker.worker?worker';

/** Calls `beat` every `milliseconds` until the returned function is called. */
export function every(milliseconds: number, beat: () => void): () => void {
  const worker = new TickWorker();
  worker.onmessage = beat;
  worker.postMessage(milliseconds);
  return () => worker.terminate();
}
