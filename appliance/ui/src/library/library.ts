/** The library's list as `appliance/src/web/library.rs` gives it, and words for it. */

import { lang } from '../lib/i18n';
import type { Millis, ProblemCode } from '../lib/protocol';

export type ItemKind = 'video' | 'audio' | 'image' | 'pdf' | 'hls' | 'dash' | 'file';
export type ItemState = 'ready' | 'fetching' | 'tonight' | 'on-demand' | 'failed';

export interface Item {
  key: string;
  title: string;
  kind: ItemKind;
  state: ItemState;
  open: string;
  poster?: string;
  size?: number;
  share: number;
  problem?: ProblemCode;
  created_at: Millis;
  created_by: string;
  pinned: boolean;
  tonight: boolean;
  upload: boolean;
  origin?: string;
}

export interface List {
  teacher: boolean;
  items: Item[];
  taken: number;
  most: number;
  upload_most: number;
}

export const iconOf: Record<ItemKind, 'play' | 'audio' | 'image' | 'file'> = {
  video: 'play',
  hls: 'play',
  dash: 'play',
  audio: 'audio',
  image: 'image',
  pdf: 'file',
  file: 'file',
};

export const plays = (kind: ItemKind): boolean => kind === 'video' || kind === 'hls' || kind === 'dash';

/** Items whose title has all of the words, in any order. */
export function found(items: readonly Item[], words: string): Item[] {
  const wanted = words.toLocaleLowerCase().split(/\s+/).filter((word) => word !== '');
  return items.filter((item) => wanted.every((word) => item.title.toLocaleLowerCase().includes(word)));
}

/** `12 MB`, `3.4 GB`. */
export function bytesWords(bytes: number): string {
  const giga = bytes >= 1e9;
  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: giga ? 1 : 0 });
  return giga ? `${number.format(bytes / 1e9)} GB` : `${number.format(Math.ceil(bytes / 1e6))} MB`;
}
