/**
 * Bundles the programs of src/cmd into OUT: node scripts/bundle.ts OUT
 *
 *   OUT/gantry.js             what bin/gantry runs: switches the compile cache on, then imports the program
 *   OUT/chunks/NAME-HASH.js   the programs, and what they import; dynamic imports are chunks of their own
 *
 * Names carry hashes and the entries come last by rename, so a daemon that is running while a new bundle is made still
 * finds the chunks that it loads later. Chunks that no entry reaches are removed after a day.
 */
import { build, type Metafile } from "esbuild";
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const programs = ["gantry", "gantryd", "gantry-runtime"];
const dayMs = 24 * 60 * 60 * 1000;
/** Importing these as ES modules reads all their exports, which loads the web APIs: 36 ms and 15 MB. */
const slowAsModule = ["http", "https", "http2", "undici"].flatMap((name) => [name, `node:${name}`]);

const out = process.argv[2];
if (out === undefined) throw new Error("usage: bundle.ts OUT");

const { metafile } = await build({
  entryPoints: programs.map((name) => ({ in: `src/cmd/${name}.ts`, out: name })),
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node26",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  outdir: join(out, "chunks"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  // Packages in CommonJS form ask for built-in modules by require, which an ES module lacks.
  banner: { js: 'const require=process.getBuiltinModule("node:module").createRequire(import.meta.url);' },
  metafile: true,
  logLevel: "warning",
});

refuseSlowImports(metafile);
for (const name of programs) writeEntry(out, name, outputOf(metafile, `src/cmd/${name}.ts`));
removeOldChunks(join(out, "chunks"), new Set(Object.keys(metafile.outputs).map((path) => basename(path))));

function outputOf({ outputs }: Metafile, source: string): string {
  for (const [path, output] of Object.entries(outputs)) if (output.entryPoint === source) return basename(path);
  throw new Error(`no output for ${source}`);
}

function refuseSlowImports({ outputs }: Metafile): void {
  for (const [path, output] of Object.entries(outputs)) {
    const slow = output.imports.find((item) => item.external === true && item.kind !== "require-call" && slowAsModule.includes(item.path));
    if (slow === undefined) continue;
    throw new Error(`${path} imports ${slow.path} as an ES module, made of:\n  ${Object.keys(output.inputs).join("\n  ")}\ntake it by process.getBuiltinModule("${slow.path}") and import its types only`);
  }
}

function writeEntry(folder: string, name: string, chunk: string): void {
  const text = [
    'process.getBuiltinModule("node:module").enableCompileCache(import.meta.dirname + "/../build/compile-cache");',
    `await import("./chunks/${chunk}");`,
    "",
  ].join("\n");
  const path = join(folder, `${name}.js`);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

function removeOldChunks(folder: string, current: Set<string>): void {
  const now = Date.now();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (current.has(name)) utimesSync(path, now / 1000, now / 1000);
    else if (now - statSync(path).mtimeMs > dayMs) rmSync(path);
  }
}
