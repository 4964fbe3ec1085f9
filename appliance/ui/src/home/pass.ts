/** The personal link stands in the address; the pass of the session lives as long as the tab. */

import type { HomePass } from '../lib/protocol';

const KEY = 'classroom.home';

interface Kept {
  link: string;
  pass: HomePass;
}

/** The link that this page was opened with. The fragment never leaves the browser. */
export function linkOfAddress(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get('link');
}

/** The pass of this tab, if it was got with the same link. */
export function loadPass(link: string | null): HomePass | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Kept | null;
    return kept && kept.link === link && typeof kept.pass.token === 'string' ? kept.pass : null;
  } catch {
    return null;
  }
}

export function savePass(link: string | null, pass: HomePass | null): void {
  if (link && pass) sessionStorage.setItem(KEY, JSON.stringify({ link, pass } satisfies Kept));
  else sessionStorage.removeItem(KEY);
}
