import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, loadEnv } from 'vite';

/** All pages, one origin, nothing inline: the hub serves them under `script-src 'self'; style-src 'self'`. */
export default defineConfig(({ mode }) => {
  // `HUB=http://… npm run dev` works on the pages against a running box.
  const hub = loadEnv(mode, '.', '')['HUB'] ?? 'http://127.0.0.1:8080';
  return {
    plugins: [svelte()],
    build: {
      target: ['es2022', 'chrome96', 'safari15.4', 'firefox102'],
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      rollupOptions: { input: { home: 'home.html', join: 'join.html', teach: 'teach.html', panel: 'panel.html', library: 'library.html', school: 'school.html', consent: 'consent.html' } },
    },
    server: {
      fs: { allow: ['..'] },
      proxy: { '/api': { target: hub, ws: true }, '/whip': hub, '/whep': hub, '^/library/': hub },
    },
  };
});
