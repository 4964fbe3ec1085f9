import { svelte } from '@sveltejs/vite-plugin-svelte';
import { readFileSync } from 'node:fs';
import { type Plugin, defineConfig, loadEnv } from 'vite';

const CHARSET = '<meta charset="utf-8" />';

/** Puts `again.js` into each page as it stands: the hub allows exactly these bytes by their hash. Before all that is fetched,
 * and after the page's encoding, which has to stand at its very beginning. */
const again: Plugin = {
  name: 'again',
  transformIndexHtml: {
    order: 'post',
    handler: (html) => html.replace(CHARSET, () => `${CHARSET}\n    <script>${readFileSync('src/lib/again.js', 'utf8')}</script>`),
  },
};

/** All pages, one origin, nothing inline but that: the hub serves them under `script-src 'self'; style-src 'self'`. */
export default defineConfig(({ mode }) => {
  // `HUB=http://… npm run dev` works on the pages against a running box.
  const hub = loadEnv(mode, '.', '')['HUB'] ?? 'http://127.0.0.1:8080';
  return {
    plugins: [svelte(), again],
    build: {
      target: ['es2022', 'chrome96', 'safari15.4', 'firefox102'],
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      rollupOptions: {
        input: {
          home: 'home.html',
          join: 'join.html',
          teach: 'teach.html',
          panel: 'panel.html',
          library: 'library.html',
          school: 'school.html',
          consent: 'consent.html',
          month: 'month.html',
          policy: 'policy.html',
          why: 'why.html',
        },
      },
    },
    server: {
      fs: { allow: ['..'] },
      proxy: { '/api': { target: hub, ws: true }, '/whip': hub, '/whep': hub, '^/library/': hub },
    },
  };
});
