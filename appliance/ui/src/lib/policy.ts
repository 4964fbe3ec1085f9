/** Words of the rules: names of subjects, reasons, and who can change them (R-POL-22). */

import { timeWords } from './clock.svelte';
import { isKey, lang, t } from './i18n';
import type { Decision, Permission, Permit, PolicyRow } from './protocol';

const key = (text: string, otherwise: string): string => (isKey(text) ? t(text) : otherwise);

/** Why, in one sentence. */
export const reasonWords = (decision: Decision): string => key(`policy.reason.${decision.reason}`, decision.reason);

/** Who can change it. */
export const changerWords = (decision: Decision): string => key(`policy.changer.${decision.changer}`, decision.changer);

/** The clause of the ministry's rules for learning devices that people can look up. */
export const clauseWords = (clause: string): string => (clause === '' ? '' : t('policy.clause', { clause }));

/** The name of a subject. */
export function subjectWords(row: PolicyRow): string {
  if (row.name) return row.name[lang];
  return row.kind === 'web' ? t('policy.web') : key(`policy.action.${row.id}`, row.id);
}

export const samePermission = (a: Permission, b: Permission): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What the teacher's switch of a row opens. */
export const permissionOf = (row: PolicyRow): Permission =>
  row.kind === 'category' ? { category: row.id } : { action: row.id as 'record' };

/** What was opened, and until when. */
export function permitWords(permit: Permit, rows: readonly PolicyRow[]): string {
  const row = rows.find((one) => one.switch && samePermission(permissionOf(one), permit.what));
  const what = 'host' in permit.what ? permit.what.host : row ? subjectWords(row) : Object.values(permit.what)[0];
  return t('policy.open-until', { what: what ?? '', time: timeWords(permit.until) });
}
