/** All that `vite.config.ts` takes from Node. */
declare module 'node:fs' {
  export function readFileSync(path: string, encoding: 'utf8'): string;
}
