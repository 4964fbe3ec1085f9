/** The register as the office sees it, and the ways to change it. */

import { asFailure, call, request } from '../lib/api';
import { lang, t, type Key } from '../lib/i18n';
import { complain, say } from '../lib/toasts.svelte';
import type { ClassRow, DeviceRow, Field, Overview, StudentRow } from './types';

const NAMED: Record<string, Field | 'due'> = { mac: 'mac', tag: 'tag', number: 'number', name: 'name', seat: 'seat', due: 'due' };

export class Office {
  view = $state.raw<Overview | null>(null);
  /** The class that every tab shows; 0 is all. */
  chosen = $state(0);
  busy = $state(false);

  readonly classes = $derived<ClassRow[]>(this.view?.classes ?? []);
  readonly students = $derived<StudentRow[]>(this.view?.students ?? []);
  readonly devices = $derived<DeviceRow[]>(this.view?.devices ?? []);
  readonly one = $derived(this.classes.find((of) => of.id === this.chosen) ?? null);
  readonly shown = $derived(this.chosen === 0 ? this.students : this.students.filter((student) => student.class === this.chosen));

  async load(): Promise<void> {
    try {
      this.view = await call<Overview>('GET', '/api/school');
      if (!this.one && this.chosen !== 0) this.chosen = 0;
    } catch (error) {
      complain(error);
    }
  }

  /** Asks the box, says what happened, and reads the register again. True when it happened. */
  async do(method: string, url: string, body: unknown, done: string): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    try {
      await request(method, url, { body });
      if (done) say(done);
      return true;
    } catch (error) {
      const { problem } = asFailure(error);
      const field = NAMED[problem?.field ?? ''];
      if (field && problem?.code === 'bad-input') say(t('school.taken-field', { field: fieldWords(field) }), 'error');
      else complain(error);
      return false;
    } finally {
      await this.load();
      this.busy = false;
    }
  }

  device(id: number | null | undefined): DeviceRow | undefined {
    return this.devices.find((device) => device.id === id);
  }

  student(id: number | null | undefined): StudentRow | undefined {
    return this.students.find((student) => student.id === id);
  }

  className(id: number | null): string {
    return this.classes.find((of) => of.id === id)?.name ?? t('school.no-class');
  }
}

const FIELDS: Record<Field | 'due', Key> = {
  number: 'school.number',
  name: 'school.name',
  class: 'school.class',
  seat: 'school.seat',
  code: 'school.code',
  kind: 'school.kind',
  mac: 'school.mac',
  tag: 'school.tag',
  spare: 'school.spare',
  due: 'school.lend-due',
};

export const fieldWords = (field: Field | 'due'): string => t(FIELDS[field]);

/** `ABCD EFGH`: easier to read off a label. */
export const codeWords = (code: string): string => code.replace(/(.{4})(?=.)/g, '$1 ');

const days = new Intl.DateTimeFormat(lang, { dateStyle: 'medium' });
export const dayWords = (at: number | string): string => days.format(new Date(typeof at === 'string' ? `${at}T00:00:00` : at));
