import { defineConfig } from "vite";

// A server for `npm run dev`, whose JSON API the pages call.
const API = "http://127.0.0.1:8081";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    // The wheel of the service packs this folder.
    outDir: "../service/console/static",
    emptyOutDir: true,
    // The Content-Security-Policy allows files of this origin, and no inline content.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/v1": API } },
});
