import { lang, t } from './i18n';
import type { SourceId } from './protocol';

/** The name on a tile. The teacher's own screen has none in the protocol: pages name it in their language. */
export const labelOf = (of: { source: SourceId; label: string }): string =>
  of.source === 'teacher' ? of.label || t('common.teacher-screen') : of.label || of.source;

/** An address as people type it: without scheme and trailing slash. */
export const addressWords = (url: string): string => url.replace(/^https?:\/\//, '').replace(/\/$/, '');

const list = new Intl.ListFormat(lang, { type: 'conjunction' });

/** Several names in one sentence. */
export const listWords = (names: readonly string[]): string => list.format(names);
