/**
 * Bundles the programs of src/cmd into OUT: node scripts/bundle.ts OUT [COMMIT]
 *
 *   OUT/gantry.js                            what bin/gantry runs: evaluates the program with its compiled code
 *   OUT/programs/NAME-HASH.js                the program in one file; what is imported dynamically is evaluated only then
 *   OUT/programs/NAME-HASH.js-NODE-ARCH      what V8 compiled of it; a cache, see writeEntry
 *
 * One file is faster than shared chunks: each module costs the loader 0.3 ms, and `gantry ps` reaches forty of them.
 * Names carry hashes and the entries come last by rename, so commands may run while a new bundle is made. Programs of
 * older bundles are removed after a day.
 */
import { build, type Metafile, type Plugin } from "esbuild";
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { recordClient } from "./code-cache.ts";

const programs = ["gantry", "gantryd", "gantry-runtime", "gantry-dns", "gantry-logs", "gantry-resident"];
const dayMs = 24 * 60 * 60 * 1000;
/** Importing these as ES modules reads all their exports, which loads the web APIs: 36 ms and 15 MB. */
const slowAsModule = ["http", "https", "http2", "undici"].flatMap((name) => [name, `node:${name}`]);

/** Milliseconds each, and a daemon answers before it needs them: loaded at the first call of one of their functions, also when promisify made it. */
const costly = new Set(["child_process", "crypto", "fs/promises", "zlib"].map((name) => `node:${name}`));

/**
 * Built-in modules are taken when the code that imports them runs, costly ones later, and without a view of them as ES modules, which
 * would read all their exports: for node:fs alone that is 2 ms, because it loads the streams. Exports behind a getter are left out.
 */
const builtins: Plugin = {
  name: "built-in modules",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "built-in", sideEffects: false }));
    onLoad({ filter: /^/, namespace: "built-in" }, ({ path }) => {
      const exports = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule(path))).filter(([name, { get }]) => get === undefined && /^[a-z_]\w*$/i.test(name) && name !== "default");
      const isLater = ([name, { value }]: [string, PropertyDescriptor]): boolean => costly.has(path) && typeof value === "function" && /^[a-z]/.test(name);
      const later = ([name, { value }]: [string, PropertyDescriptor]): string => (promisify.custom in value ? `/* @__PURE__ */ Object.assign((...args) => builtin().${name}(...args), { [promised]: (...args) => builtin().${name}[promised](...args) })` : `(...args) => builtin().${name}(...args)`);
      const lines = exports.map((entry) => `export const ${entry[0]} = ${isLater(entry) ? later(entry) : `/* @__PURE__ */ member(${JSON.stringify(entry[0])})`};`);
      return { contents: `let taken;\nconst promised = /* @__PURE__ */ Symbol.for("nodejs.util.promisify.custom");\nconst builtin = () => (taken ??= process.getBuiltinModule(${JSON.stringify(path)}));\nconst member = (name) => builtin()[name];\nexport default /* @__PURE__ */ builtin();\n${lines.join("\n")}`, loader: "js" };
    });
  },
};

const [, , out, commit] = process.argv;
if (out === undefined) throw new Error("usage: bundle.ts OUT [COMMIT]");

const { metafile } = await build({
  entryPoints: programs.map((name) => ({ in: `src/cmd/${name}.ts`, out: name })),
  bundle: true,
  // Not as an ES module: V8 takes compiled code along with a script only, and Node's loader of modules costs 2 ms.
  format: "cjs",
  platform: "node",
  target: "node26",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  outdir: join(out, "programs"),
  entryNames: "[name]-[hash]",
  banner: { js: "(function(require,module,exports,__filename,__dirname){" },
  footer: { js: "})" },
  define: { "import.meta.dirname": "__dirname", "import.meta.filename": "__filename", "import.meta.url": "__filename", BUILD_COMMIT: JSON.stringify(commit || "unknown") },
  metafile: true,
  plugins: [builtins],
  logLevel: "warning",
});

refuseSlowImports(metafile);
for (const name of programs) writeEntry(out, name, outputOf(metafile, `src/cmd/${name}.ts`));
await recordClient(join(out, "gantry.js"));
removeOld(join(out, "programs"), new Set(Object.keys(metafile.outputs).map((path) => basename(path))));

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

/**
 * The daemon writes the compiled code of what it used a moment after its start, if there was none: what it uses later would make
 * every start longer, by four milliseconds a megabyte. The client's is recorded here. Without it, or when V8 refuses it, the
 * program only starts later.
 */
function writeEntry(folder: string, name: string, program: string): void {
  const [records, moment] = name === "gantryd" ? ["true", "gantryd:started"] : ["process.env.GANTRY_RECORD_CODE !== undefined", "exit"];
  const text = `"use strict";
try {
  process.dlopen({ exports: {} }, __dirname + "/../build/native/client.node");
} catch {}
const fs = require("fs");
const filename = __dirname + "/programs/${program}";
const cache = \`\${filename}-\${process.version}-\${process.arch}\`;
let cachedData;
try {
  cachedData = fs.readFileSync(cache);
} catch {}
const script = new (require("vm").Script)(fs.readFileSync(filename, "latin1"), { filename, cachedData });
if (${records} && (script.cachedDataRejected !== false || process.env.GANTRY_RECORD_CODE !== undefined)) {
  process.once("${moment}", () => {
    try {
      fs.writeFileSync(cache + process.pid, script.createCachedData());
      fs.renameSync(cache + process.pid, cache);
    } catch {}
  });
}
const program = { exports: {} };
script.runInThisContext()(require, program, program.exports, filename, __dirname + "/programs");
`;
  const path = join(folder, `${name}.js`);
  writeFileSync(`${path}.new`, text);
  writeFileSync(join(folder, "package.json"), '{"type":"commonjs"}\n');
  renameSync(`${path}.new`, path);
}

function removeOld(folder: string, current: Set<string>): void {
  const now = Date.now();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (current.has(name.replace(/\.js-.*$/, ".js"))) utimesSync(path, now / 1000, now / 1000);
    else if (now - statSync(path).mtimeMs > dayMs) rmSync(path);
  }
}
