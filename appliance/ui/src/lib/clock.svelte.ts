/** The time, once a second, on the hub's clock as far as it is known. */

import { lang } from './i18n';

export class Clock {
  now = $state(Date.now());
  private skew = 0;

  /** Told by the hub: its clock minus ours, in milliseconds. */
  set(skew: number): void {
    this.skew = skew;
  }

  start(): () => void {
    const timer = setInterval(() => (this.now = Date.now() + this.skew), 1000);
    return () => clearInterval(timer);
  }
}

const time = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const date = new Intl.DateTimeFormat(lang, { month: 'long', day: 'numeric', weekday: 'long' });

export const timeWords = (at: number): string => time.format(at);
export const dateWords = (at: number): string => date.format(at);

/** `4:05` until `end`. */
export function countdown(now: number, end: number): string {
  const seconds = Math.max(0, Math.round((end - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** `123 456`: six digits are read in two groups. */
export const codeWords = (code: string): string => `${code.slice(0, 3)} ${code.slice(3)}`;
