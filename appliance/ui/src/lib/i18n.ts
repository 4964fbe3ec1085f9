/** The words of the pages, from the catalogue that the programs of the box use too. The language is the browser's. */

import common from '../../../protocol/catalogue/common.json';
import home from '../../../protocol/catalogue/home.json';
import join from '../../../protocol/catalogue/join.json';
import library from '../../../protocol/catalogue/library.json';
import panel from '../../../protocol/catalogue/panel.json';
import problem from '../../../protocol/catalogue/problem.json';
import school from '../../../protocol/catalogue/school.json';
import teach from '../../../protocol/catalogue/teach.json';

const catalogue = { ...common, ...home, ...join, ...library, ...panel, ...problem, ...school, ...teach };

export type Key = keyof typeof catalogue;
export type Lang = 'zh-Hant-TW' | 'en';

/** The first language of the list that the box speaks: any Chinese is answered in Traditional Chinese. */
export function pickLang(wanted: readonly string[]): Lang {
  for (const tag of wanted) {
    const main = tag.toLowerCase().split('-')[0];
    if (main === 'zh') return 'zh-Hant-TW';
    if (main === 'en') return 'en';
  }
  return wanted.length > 0 ? 'en' : 'zh-Hant-TW';
}

export const lang: Lang = pickLang(typeof navigator === 'undefined' ? [] : navigator.languages);

export function isKey(key: string): key is Key {
  return Object.hasOwn(catalogue, key);
}

/** The text of `key` with each `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const entry: Record<Lang, string> = catalogue[key];
  return entry[lang].replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** Sets the page's language and title. Called once by each page. */
export function prepareDocument(title: Key): void {
  document.documentElement.lang = lang;
  document.title = t(title);
}
