/** Short messages at the foot of the page. */

import { asFailure, ruleWords, words } from './api';

export interface Toast {
  id: number;
  kind: 'error' | 'done';
  text: string;
  /** Which rule says no and who can change it. */
  rule: string;
}

const KEEP = 3;
const SHOWN_FOR = { error: 8000, done: 3500 };

let next = 0;
export const toasts = $state<Toast[]>([]);

export function dismiss(id: number): void {
  const at = toasts.findIndex((toast) => toast.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

export function say(text: string, kind: Toast['kind'] = 'done', rule = ''): void {
  const same = toasts.find((toast) => toast.text === text);
  if (same) dismiss(same.id);
  const id = next++;
  toasts.push({ id, kind, text, rule });
  if (toasts.length > KEEP) toasts.shift();
  setTimeout(() => dismiss(id), SHOWN_FOR[kind]);
}

/** Tells what went wrong, in plain words. */
export function complain(error: unknown): void {
  const { problem } = asFailure(error);
  say(words(problem), 'error', ruleWords(problem));
}
