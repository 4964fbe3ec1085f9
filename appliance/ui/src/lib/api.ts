/** Calls of the hub's HTTP interface. Whatever goes wrong comes out as a `Failure` that has words for people. */

import { isKey, t } from './i18n';
import type { Problem, ProblemCode } from './protocol';

/** A call that did not work: the hub's problem, or none when the hub could not be reached. */
export class Failure extends Error {
  constructor(readonly problem: Problem | null) {
    super(problem?.title ?? 'the box cannot be reached');
  }

  get code(): ProblemCode | 'unreachable' {
    return this.problem?.code ?? 'unreachable';
  }
}

const isProblem = (body: unknown): body is Problem =>
  typeof body === 'object' && body !== null && typeof (body as Problem).code === 'string';

/** The problem that an answer other than 2xx carries. */
export async function problemOf(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null);
  const wait = Number(response.headers.get('Retry-After'));
  const problem: Problem = isProblem(body)
    ? body
    : { code: response.status === 404 ? 'not-found' : 'internal', status: response.status, title: response.statusText };
  if (problem.retry_after == null && wait > 0) problem.retry_after = wait;
  return problem;
}

export interface CallOptions {
  /** Bearer token; staff calls have the cookie instead. */
  token?: string | undefined;
  body?: unknown;
  signal?: AbortSignal;
  /** Milliseconds until a silent hub counts as unreachable. */
  timeout?: number;
}

/** One request. Fails with `Failure` on every status but 2xx. */
export async function request(method: string, url: string, options: CallOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (options.token) headers['Authorization'] = `Bearer ${options.token}`;
  let body: BodyInit | null = null;
  if (options.body instanceof Blob) {
    headers['Content-Type'] = options.body.type;
    body = options.body;
  } else if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(options.body);
  }
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), options.timeout ?? 8000);
  options.signal?.addEventListener('abort', () => limit.abort(), { once: true });
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      body,
      signal: limit.signal,
      cache: 'no-store',
      credentials: options.token ? 'omit' : 'same-origin',
    });
  } catch {
    throw new Failure(null);
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) throw new Failure(await problemOf(response));
  return response;
}

/** One request whose answer is JSON. */
export async function call<T>(method: string, url: string, options: CallOptions = {}): Promise<T> {
  const response = await request(method, url, options);
  try {
    return (await response.json()) as T;
  } catch {
    throw new Failure(null);
  }
}

/** What happened, in plain words. */
export function words(problem: Pick<Problem, 'code' | 'retry_after'> | null): string {
  if (!problem) return t('common.unreachable');
  if (problem.code === 'too-many-tries' && problem.retry_after) {
    return t('common.wait-seconds', { seconds: problem.retry_after });
  }
  const key = `problem.${problem.code}`;
  return isKey(key) ? t(key) : t('problem.internal');
}

/** The rule behind a "no" and who can change it (R-POL-22), or nothing where no rule says no. */
export function ruleWords(problem: Pick<Problem, 'rule'> | null): string {
  const key = `common.rule-${problem?.rule?.toLowerCase() ?? ''}`;
  return isKey(key) ? t(key) : '';
}

export const asFailure = (error: unknown): Failure => (error instanceof Failure ? error : new Failure(null));
