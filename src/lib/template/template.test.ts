import assert from "node:assert/strict";
import { test } from "node:test";
import { compile, execute } from "./execute.ts";
import { Nil, TemplateObject } from "./values.ts";

const run = (source: string, data: unknown, missingKey: "default" | "error" = "default"): string => execute(compile(source), data, { missingKey });

const CASES: [string, unknown, string][] = [
  ["{{.Name}} x", { Name: "a" }, "a x"],
  ["{{.A.B.C}}", { A: { B: { C: 3 } } }, "3"],
  ["{{.Missing}}", {}, "<no value>"],
  ["{{.L}}", { L: ["sh", "-c"] }, "[sh -c]"],
  ["{{.M}}", { M: { b: 1, a: true } }, "map[a:true b:1]"],
  ["{{json .M}}", { M: { b: "<", a: null } }, '{"a":null,"b":"<"}'],
  ["{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", { M: { b: 2, a: 1 } }, "a=1;b=2;"],
  ["{{range .L}}{{.}},{{else}}none{{end}}", { L: [] }, "none"],
  ["{{range $i, $e := .L}}{{if $i}}, {{end}}{{$e}}{{end}}", { L: ["a", "b"] }, "a, b"],
  ["{{range .L}}{{if eq . 2}}{{continue}}{{end}}{{if eq . 4}}{{break}}{{end}}{{.}}{{end}}", { L: [1, 2, 3, 4, 5] }, "13"],
  ['{{(index (index .Ports "80/tcp") 0).HostPort}}', { Ports: { "80/tcp": [{ HostPort: "20382" }] } }, "20382"],
  ["{{if and .A (not .B)}}y{{else}}n{{end}}", { A: 1, B: 0 }, "y"],
  ["{{if .A}}1{{else if .B}}2{{else}}3{{end}}", { A: "", B: "x" }, "2"],
  ["{{with .A}}{{.}}{{else}}none{{end}}", { A: null }, "none"],
  ["{{with $x := .A}}{{$x}}{{$.B}}{{end}}", { A: 1, B: 2 }, "12"],
  ["{{$x := 1}}{{$x = 2}}{{$x}}", {}, "2"],
  ["a {{- .A -}} b", { A: 1 }, "a1b"],
  ["a{{/* comment */}}b {{- /* c */ -}} c", {}, "abc"],
  ['{{upper "a"}} {{lower "B"}} {{title "docker run"}}', {}, "A b Docker Run"],
  ['{{join .L ","}} {{split "a-b" "-"}}', { L: ["x", "y"] }, "x,y [a b]"],
  ['{{pad "a" 1 2}}|{{truncate "abcdef" 3}}|{{println 1}}', {}, " a  |abc|1\n"],
  ['{{printf "%-5s|%05d|%q|%.2f|%x|%v" "ab" 42 "q" 1.5 255 .L}}', { L: [1] }, 'ab   |00042|"q"|1.50|ff|[1]'],
  ['{{ .A | printf "%s-%s" "x" | upper }}', { A: "b" }, "X-B"],
  ["{{len .L}}{{len .S}}", { L: [1, 2], S: "é" }, "22"],
  ["{{eq .A 1 2}} {{ne .A 2}} {{lt 1 2}} {{ge 2 2}} {{gt 1 2}} {{le 2 1}}", { A: 2 }, "true false true true false false"],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .A}}', { A: 1 }, "<1>"],
  ["{{or .A .B}}", { A: "", B: "b" }, "b"],
  ["{{`raw`}} {{\"q\\n\"}}", {}, "raw q\n"],
  ["{{true}} {{1.5}} {{print 1 2 \"a\"}}", {}, "true 1.5 1 2a"],
  ["{{.A}} {{json .A}} {{len .A}}{{range .A}}x{{end}}", { A: new Nil("slice", "[]string") }, "[] null 0"],
];

for (const [source, data, expected] of CASES) {
  test(`executes ${JSON.stringify(source)}`, () => assert.equal(run(source, data), expected));
}

const FAILURES: [string, unknown, string][] = [
  ["{{.Name", {}, "template: :1: unclosed action"],
  ["{{nosuch .}}", {}, 'template: :1: function "nosuch" not defined'],
  ["{{if .A}}", {}, "template: :1: unexpected EOF"],
  ["x{{end}}", {}, "template: :1: unexpected {{end}}"],
  ["{{}}", {}, "template: :1: missing value for command"],
  ["{{$x}}", {}, 'template: :1: undefined variable "$x"'],
  ['{{"abc}}', {}, "template: :1: unterminated quoted string"],
  ["{{.Nosuch}}", { Name: "a" }, 'template: :1:2: executing "" at <.Nosuch>: map has no entry for key "Nosuch"'],
  ["{{.State.Nosuch}}", { State: {} }, 'template: :1:8: executing "" at <.State.Nosuch>: map has no entry for key "Nosuch"'],
  ["{{.Nosuch}}", new TemplateObject("*formatter.ContainerContext", {}), 'template: :1:2: executing "" at <.Nosuch>: can\'t evaluate field Nosuch in type *formatter.ContainerContext'],
  ["{{.A.B}}", { A: "text" }, 'template: :1:4: executing "" at <.A.B>: can\'t evaluate field B in type string'],
  ['{{truncate "a"}}', {}, 'template: :1:2: executing "" at <truncate>: wrong number of args for truncate: want 2 got 1'],
  ['{{index "a" 3}}', {}, 'template: :1:2: executing "" at <index "a" 3>: error calling index: reflect: string index out of range'],
  ['{{slice "abc" 4}}', {}, 'template: :1:2: executing "" at <slice "abc" 4>: error calling slice: index out of range: 4'],
  ["{{index .L 3}}", { L: [1] }, 'template: :1:2: executing "" at <index .L 3>: error calling index: index out of range: 3'],
];

for (const [source, data, message] of FAILURES) {
  test(`refuses ${JSON.stringify(source)}`, () => assert.throws(() => run(source, data, "error"), { message }));
}

test("an object's methods take arguments, and its JSON leaves them out", () => {
  const row = new TemplateObject("*formatter.X", { ID: () => "1", Label: (name: string) => `l-${name}` });
  assert.equal(run('{{.Label "a"}} {{json .}}', row), 'l-a {"ID":"1"}');
});
