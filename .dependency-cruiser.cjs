// Who may import whom: docs/architecture.md. `node scripts/imports.ts` runs this and refuses to pass over nothing.
/** Tests, and what only tests use, may reach further. */
const tests = "\\.(test|contract|testing)\\.ts$|/testing/";

const layer = (name, from, allowed, options = {}) => ({
  name,
  severity: "error",
  comment: options.comment ?? `${name} may import only ${allowed.join(", ") || "nothing"} of src/`,
  from: { path: from, pathNot: tests },
  to: { path: "^src/", pathNot: [from, ...allowed.map((item) => `^src/${item}`)].map((item) => item.replace("$own", "$1")) },
});

module.exports = {
  forbidden: [
    layer("lib", "^src/lib/", []),
    layer("sys", "^src/sys/", ["lib/"]),
    layer("core", "^src/core/", ["lib/"]),
    layer("oci", "^src/oci/", ["sys/", "lib/", "core/"]),
    layer("registry", "^src/registry/", ["core/", "lib/"]),
    layer("build", "^src/build/", ["core/", "lib/"]),
    layer("engine", "^src/engine/", ["core/", "registry/", "build/", "lib/", "sys/database\\.ts$"]),
    layer("api", "^src/api/", ["engine/", "core/", "lib/"]),
    layer("cli", "^src/cli/", ["lib/"]),
    {
      name: "drivers",
      severity: "error",
      comment: "a driver may import core, sys, lib and itself, never another driver",
      from: { path: "^src/drivers/([^/]+)/", pathNot: tests },
      to: { path: "^src/", pathNot: ["^src/drivers/$1/", "^src/core/", "^src/sys/", "^src/lib/"] },
    },
    { name: "nobody-imports-cmd", severity: "error", from: { pathNot: "^(src/cmd|test|bench|scripts)/" }, to: { path: "^src/cmd/" } },
    { name: "product-without-tests", severity: "error", from: { path: "^src/", pathNot: tests }, to: { path: `${tests}|^test/|^bench/|^scripts/` } },
    { name: "no-cycles", severity: "error", from: { path: "^src/" }, to: { circular: true, dependencyTypesNot: ["type-only"], viaOnly: { dependencyTypesNot: ["type-only"] } } },
    { name: "resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "packages-are-declared",
      severity: "error",
      from: { path: "^(src|test|bench|scripts)/" },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|build)/" },
    enhancedResolveOptions: { extensions: [".ts", ".js"], conditionNames: ["import", "require", "node", "default", "types"], exportsFields: ["exports"] },
  },
};
