/** A student's pass lives as long as the tab: shared tablets forget it when the tab is closed. */

import type { SeatPass } from '../lib/protocol';

const KEY = 'classroom.pass';

export function loadPass(): SeatPass | null {
  try {
    const pass = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as SeatPass | null;
    return pass && typeof pass.token === 'string' ? pass : null;
  } catch {
    return null;
  }
}

export function savePass(pass: SeatPass | null): void {
  if (pass) sessionStorage.setItem(KEY, JSON.stringify(pass));
  else sessionStorage.removeItem(KEY);
}
