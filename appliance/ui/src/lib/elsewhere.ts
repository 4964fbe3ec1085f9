/** Covers a page that is open in too many places, until someone wants it here. */

import { mount, unmount } from 'svelte';
import Elsewhere from './Elsewhere.svelte';

/** Gives what takes the cover away. */
export function cover(goOn: () => void): () => void {
  const shown = mount(Elsewhere, { target: document.body, props: { goOn } });
  return () => void unmount(shown);
}
