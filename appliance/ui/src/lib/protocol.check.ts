/**
 * Compile-time proof that `protocol.ts` says what the hub says: each type must take what the generated schema gives and
 * give what it takes. `npm run types` makes `schema.d.ts` from the hub's golden document; nothing here runs.
 */
import type * as P from './protocol';
import type { components } from './schema';

type S = components['schemas'];

/** Both ways. Where `protocol.ts` is narrower on purpose (a layout is 1, 2, 4 or 9), only what pages are told is compared. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : { lacks: B; has: A }) : { lacks: B; has: A };

/** Numbers in place of literal numbers, null in place of missing: JSON Schema can't say the first and Rust sends either. */
type Loose<T> = T extends number
  ? number
  : T extends (infer U)[]
    ? Loose<U>[]
    : T extends object
      ? { [K in keyof T]-?: Loose<Exclude<T[K], undefined>> }
      : T;
type Plain<T> = T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]-?: Plain<Exclude<T[K], undefined | null>> } : T;
type Check<A, B> = Same<Plain<Loose<A>>, Plain<Loose<B>>>;

export const checks: [
  Check<P.RoomInfo, S['RoomInfo']>,
  Check<P.Sharing, S['Sharing']>,
  Check<P.Tile, S['Tile']>,
  Check<P.Stage, S['Stage']>,
  Check<P.Marks, S['Marks']>,
  Check<P.LessonView, S['LessonView']>,
  Check<P.TeacherView, S['TeacherView']>,
  Check<P.SeatView, S['SeatView']>,
  Check<P.SourceView, S['SourceView']>,
  Check<P.PanelState, S['PanelState']>,
  Check<P.StudentView, S['StudentView']>,
  Check<P.PanelView, S['PanelView']>,
  Check<P.JoinTicket, S['JoinTicket']>,
  Check<P.OpenSeat, S['OpenSeat']>,
  Check<P.SeatPass, S['SeatPass']>,
  Check<P.PairRequest, S['PairRequest']>,
  Check<P.PairWaiting, S['PairWaiting']>,
  Check<P.PairDone, S['PairDone']>,
  Check<P.PairApprove, S['PairApprove']>,
  Check<P.PanelReport, S['PanelReport']>,
  Check<P.ProblemCode, S['ProblemCode']>,
  Check<P.Problem, S['Problem']>,
  Check<P.TeacherCommand, S['TeacherCommand']>,
  Check<P.StudentCommand, S['StudentCommand']>,
  Check<P.HomeCommand, S['HomeCommand']>,
  Check<P.HomeView, S['HomeView']>,
  Check<P.HomeSeat, S['HomeSeat']>,
  Check<P.HomeLink, S['HomeLink']>,
  Check<P.HomePass, S['HomePass']>,
  Check<P.Voice, S['Voice']>,
] = [
  true, true, true, true, true, true,
  true, true, true, true, true, true, true, true, true, true, true, true,
  true, true, true, true, true, true, true, true, true, true, true, true,
];
